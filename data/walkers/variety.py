"""What the world `anywhere` adds to the others, each from 0 (off) to 1 (all of it).

A `Style` without a `Variety` renders by the program that it always had: None has no
leaves in a JAX tree, so everything that reads a variety is left out when it is traced.
"""

import dataclasses
import math
from collections.abc import Iterator
from numbers import Real

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Variety:
    """Of cameras (drawn per camera, a part of it again per tracklet) and of people."""

    exposure: float = 0.0
    """Share of the range of exposures, -1.6 to 1.6 stops: up to clipping."""
    cast: float = 0.0
    """Share of the strength of colour casts: white balance, tint, coloured flare."""
    tone: float = 0.0
    """Share of the ranges of gamma, contrast, saturation and output range."""
    fog: float = 0.0
    """Probability that a camera looks through fog or flare: blacks are lifted."""
    low_light: float = 0.0
    """Probability that a camera sees little light: coarse noise, pale colours."""
    blur: float = 0.0
    """Probability that a camera is out of focus."""
    compression: float = 0.0
    """Probability that a camera's video shows blocks of 8x8 pixels."""
    places: float = 0.0
    """Share of the strength of floors, walls, light and shade behind people."""
    cloth: float = 0.0
    """Probability that a garment is woven: stripes, checks, dots, blots, melange."""
    prints: float = 0.0
    """Probability that a top has a printed logo, lines or blocks on it."""
    folds: float = 0.0
    """Share of the depth of folds, seams and hems."""
    builds: float = 0.0
    """Probability that a person is a child, stout, slim or bent."""
    hair: float = 0.0
    """Probability of another hairstyle: bun, tail, beard, volume, two-tone, veil."""
    extras: float = 0.0
    """Probability of each of boots, socks, straps, brimmed hats, long skirts."""
    alike: float = 0.0
    """Probability that a person wears the colours of one of 16 common outfits."""

    def problems(self) -> Iterator[str]:
        """What cannot be, one line for each field."""
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
"""Of `walkers/anywhere`."""
