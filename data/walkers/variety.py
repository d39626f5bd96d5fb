"""Variety: what the world `anywhere` adds to the others, each from 0 (off) to 1 (all).

A `Style` without a `Variety` compiles to the same program as before varieties existed:
None has no leaves in a JAX tree, so that tracing skips all code that reads a variety.
"""

import dataclasses
import math
from collections.abc import Iterator
from numbers import Real

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Variety:
    """How varied cameras and people are.

    Camera values are drawn for each camera, and in part again for each tracklet.
    """

    exposure: float = 0.0
    """Share of the range of exposures, -1.6 to 1.6 stops: up to clipping."""
    cast: float = 0.0
    """Share of the strength of colour casts: white balance, tint, coloured flare."""
    tone: float = 0.0
    """Share of the ranges of gamma, contrast, saturation and output range."""
    fog: float = 0.0
    """Probability that a camera looks through fog or flare: blacks are lifted."""
    low_light: float = 0.0
    """Probability that a camera gets little light: coarse noise, pale colours."""
    blur: float = 0.0
    """Probability that a camera is out of focus."""
    compression: float = 0.0
    """Probability that a camera's video shows blocks of 8x8 pixels."""
    places: float = 0.0
    """Strength of other floors, walls, light and shade behind people."""
    cloth: float = 0.0
    """Probability that a garment is woven: stripes, checks, dots, blots, melange."""
    prints: float = 0.0
    """Probability that a top has a printed logo, lines or blocks on it."""
    folds: float = 0.0
    """Share of the depth of folds, seams and hems."""
    builds: float = 0.0
    """Probability that a person is a child, or stout, slim or bent."""
    hair: float = 0.0
    """Probability of another hairstyle: bun, tail, beard, volume, two-tone, veil."""
    extras: float = 0.0
    """Probability of each of boots, socks, straps, brimmed hats, long skirts."""
    alike: float = 0.0
    """Probability that a person wears the colours of one of 16 common outfits."""

    def problems(self) -> Iterator[str]:
        """Yields a text for each field with an impossible value."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_number = isinstance(value, Real) and math.isfinite(value)
            if not is_number or not 0 <= value <= 1:
                yield f"style.variety.{field.name}={value} must be from 0 to 1."


EVERYTHING = Variety(
    exposure=0.8,
    cast=0.8,
    tone=0.8,
    fog=0.25,
    low_light=0.1,
    blur=0.2,
    compression=0.4,
    places=1.0,
    cloth=0.35,
    prints=0.25,
    folds=1.0,
    builds=0.35,
    hair=0.6,
    extras=0.3,
    alike=0.5,
)
"""The variety of `walkers/anywhere`."""
