"""What a world is like: how dark its people dress, how its cameras look, what disturbs.

A style is an argument of the samplers, not a constant: one compiled program serves all.
"""

import dataclasses
import math
from collections.abc import Iterator
from numbers import Real

import jax

from data.walkers.variety import Variety


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Style:
    """Ranges are (lowest, highest); probabilities are per tracklet."""

    dark: float = 0.40
    """Probability that a person wears a dark top over dark trousers."""
    elevation: tuple[float, float] = (0.08, 0.60)
    """Downward tilt of the cameras, rad."""
    figure_px: tuple[float, float] = (40.0, 200.0)
    """The sensor's pixels on a box, before it is resized to a frame."""
    color: float = 0.4
    """How far cameras differ in exposure, white balance, tone, saturation: 1 for the
    whole ranges of `Camera`, 0 for none."""
    clutter: float = 1.0
    """How far ground, walls and cars stand out: 0 for an even grey behind everybody."""
    light_drift: float = 0.12
    """Largest amplitude of the light's change over a tracklet."""
    occlusion: float = 0.22
    """Probability that a post, a sign or a car gets in between."""
    passing: float = 0.30
    """Probability that another person crosses or walks along."""
    box: float = 1.0
    """Factor on the detector's errors: place, size, aspect, truncation."""
    scale_change: float = 0.06
    """Largest amplitude of the figure's size over a tracklet."""
    standing: float = 0.08
    """Probability that the person stands."""
    pace: float = 0.12
    """Spread of the pace around a person's own, to either side."""
    switch: float = 0.0
    """Probability that the tracker goes on with another person, who crosses."""
    blank: float = 0.0
    """1: the person is not drawn, only what surrounds them (to test for leaks)."""
    variety: Variety | None = None
    """Harder cameras, more kinds of people; None: none of it is in the program."""

    def problems(self) -> Iterator[str]:
        """What cannot be, one line for each field."""
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "variety":
                if isinstance(value, Variety):
                    yield from value.problems()
                elif value is not None:
                    yield f"style.variety={value!r} must be None or a Variety."
            elif name in _RANGES:
                low, high = _RANGES[name]
                good = isinstance(value, tuple) and len(value) == 2
                good = good and all(_is_within(each, low, high) for each in value)
                if not good or value[0] > value[1]:
                    wanted = f"(lowest, highest) within {low:g} to {high:g}"
                    yield f"style.{name}={value} must be {wanted}."
            else:
                high = _LARGEST.get(name, 1.0)
                if not _is_within(value, 0.0, high):
                    yield f"style.{name}={value} must be from 0 to {high:g}."


_RANGES = {"elevation": (0.0, 1.5), "figure_px": (8.0, 1e4)}
"""Of those that are lowest and highest values."""

_LARGEST = {"box": 4.0, "light_drift": 1.0, "scale_change": 0.9, "pace": 0.9}
"""Of those that may be above 1, or must stay below it."""


def _is_within(value, low: float, high: float) -> bool:
    return isinstance(value, Real) and math.isfinite(value) and low <= value <= high
