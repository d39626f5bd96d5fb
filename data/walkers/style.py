"""Style of a world: how dark people dress, how cameras look, what disturbs the view.

Samplers take a style as an argument, so that one compiled program serves all worlds.
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
    """A world's style: ranges as (lowest, highest), and probabilities per tracklet."""

    dark: float = 0.40
    """Probability that a person wears a dark top over dark trousers."""
    elevation: tuple[float, float] = (0.08, 0.60)
    """Downward tilt of the cameras in rad."""
    figure_px: tuple[float, float] = (40.0, 200.0)
    """Height of a box in sensor pixels, before it is resized to a frame."""
    color: float = 0.4
    """How far cameras differ in exposure, white balance, tone and saturation.

    0: not at all; 1: over the whole ranges of `Camera`.
    """
    clutter: float = 1.0
    """Contrast of ground, walls and cars; 0: an even grey behind everybody."""
    light_drift: float = 0.12
    """Largest amplitude of the change of light over a tracklet."""
    occlusion: float = 0.22
    """Probability that a post, a sign or a car comes in between."""
    passing: float = 0.30
    """Probability that another person crosses or walks along."""
    box: float = 1.0
    """Factor on the detector's errors: position, size, aspect, truncation."""
    scale_change: float = 0.06
    """Largest amplitude of the change of size over a tracklet."""
    standing: float = 0.08
    """Probability that the person stands still."""
    pace: float = 0.12
    """Largest deviation of the pace from the person's usual one, a share."""
    switch: float = 0.0
    """Probability that the tracker switches to a person who crosses."""
    blank: float = 0.0
    """1: the person is not drawn, only the surroundings (to test for leaks)."""
    variety: Variety | None = None
    """Harder cameras, more kinds of people; None: no code for that is compiled."""

    def problems(self) -> Iterator[str]:
        """Yields a text for each field with an impossible value."""
        for field in dataclasses.fields(self):
            name, value = field.name, getattr(self, field.name)
            if name == "variety":
                if isinstance(value, Variety):
                    yield from value.problems()
                elif value is not None:
                    yield f"style.variety={value!r} must be None or a Variety."
            elif name in _RANGES:
                low, high = _RANGES[name]
                is_valid = isinstance(value, tuple) and len(value) == 2
                is_valid = is_valid and all(
                    _is_within(each, low, high) for each in value
                )
                if not is_valid or value[0] > value[1]:
                    expected = f"(lowest, highest) within {low:g} to {high:g}"
                    yield f"style.{name}={value} must be {expected}."
            else:
                high = _LARGEST.get(name, 1.0)
                if not _is_within(value, 0.0, high):
                    yield f"style.{name}={value} must be from 0 to {high:g}."


_RANGES = {"elevation": (0.0, 1.5), "figure_px": (8.0, 1e4)}
"""Limits of the fields that are (lowest, highest)."""

_LARGEST = {"box": 4.0, "light_drift": 1.0, "scale_change": 0.9, "pace": 0.9}
"""Upper limits of single numbers, where it is not 1."""


def _is_within(value, low: float, high: float) -> bool:
    """Whether a value is a finite number from `low` to `high`."""
    return isinstance(value, Real) and math.isfinite(value) and low <= value <= high
