"""Sizes and styles of the worlds: one `Sizes` for each config."""

import argparse
import dataclasses
import math
from numbers import Integral, Real

from data.walkers.style import Style
from data.walkers.variety import EVERYTHING
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large a world is, and its style."""

    num_train: int = 8
    """Persons in `train`; their pids count from 1."""
    num_test: int = 4
    """Persons in `query` and `gallery`; their pids follow."""
    num_distractors: int = 0
    """Tracklets in `gallery` of people who are in no query (pid 0)."""
    num_junk: int = 0
    """Tracklets in `gallery` that show hardly anyone (pid -1)."""
    num_cameras: int = 3
    train_tracklets: tuple[int, int] = (1, 2)
    """Fewest and most tracklets of a training person under a camera."""
    test_tracklets: tuple[int, int] = (2, 2)
    """The same for test persons: the first is a query, the others are gallery."""
    unseen: float = 0.0
    """Probability that a person never passes a camera; two cameras see everyone."""
    num_frames: tuple[int, int] = (2, 9)
    """Fewest and most frames of a tracklet."""
    median_frames: float = 4.0
    """Median number of frames of a tracklet."""
    spread: float = 0.93
    """Standard deviation of the logarithm of the lengths; 0.93 in MARS."""
    frame_height: int = 64
    frame_width: int = 32
    twins: int = 1
    """Size of groups of persons who share clothes, build and posture, but not gait."""
    days: int = 1
    """2: all but a person's first tracklet under each camera are of another day."""
    edge_cases: bool = False
    """Whether person 1 has one tracklet only, and one gallery tracklet one frame."""
    style: Style = dataclasses.field(default_factory=Style)
    seed: int = 0

    def __post_init__(self):
        """Raises a UserError that lists all impossible values."""
        if type_problems := [
            f"{field.name}={getattr(self, field.name)!r} must be {expected}."
            for field in dataclasses.fields(self)
            if (expected := _TYPE_CHECKS[field.type](getattr(self, field.name)))
        ]:
            raise UserError(" ".join(type_problems))
        problems = [
            f"{name}={value} must be at least {minimum}."
            for name, minimum in _MIN_VALUES.items()
            if not (value := getattr(self, name)) >= minimum
        ]
        for name, minimum in _MIN_PAIRS.items():
            low, high = getattr(self, name)
            if not minimum <= low <= high:
                problems.append(
                    f"{name}=({low}, {high}) must be (fewest, most) from {minimum} on."
                )
        shortest, longest = self.num_frames
        if not shortest <= self.median_frames <= longest:
            problems.append(
                f"median_frames={self.median_frames} must lie in {self.num_frames}."
            )
        if self.days not in (1, 2):
            problems.append(f"days={self.days} must be 1 or 2.")
        if not 0 <= self.unseen <= 1:
            problems.append(f"unseen={self.unseen} must be a probability.")
        if self.twins > 0 and (
            self.num_train % self.twins or self.num_test % self.twins
        ):
            problems.append(
                f"num_train={self.num_train} and num_test={self.num_test} must be "
                f"multiples of twins={self.twins}: no group may be in two splits."
            )
        if self.edge_cases and not (self.num_train and self.num_test):
            problems.append("edge_cases=True needs persons in num_train and num_test.")
        problems += self.style.problems()
        if problems:
            raise UserError(" ".join(problems))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of a frame in pixels."""
        return self.frame_height, self.frame_width

    def length(self, normal: float) -> int:
        """Number of frames of a tracklet, log-normal, from a standard normal number."""
        shortest, longest = self.num_frames
        frames = self.median_frames * math.exp(self.spread * normal)
        return int(min(max(frames, shortest), longest))


_MIN_VALUES = {
    "num_train": 0,
    "num_test": 0,
    "num_distractors": 0,
    "num_junk": 0,
    "num_cameras": 2,
    "spread": 0,
    "frame_height": 1,
    "frame_width": 1,
    "twins": 1,
    "seed": 0,
}

_MIN_PAIRS = {"train_tracklets": 1, "test_tracklets": 2, "num_frames": 1}
"""Smallest first number of fields that are (fewest, most).

A test person's first tracklet under a camera is a query, so there must be two.
"""


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value))


_TYPE_CHECKS = {
    int: lambda value: "" if _is_whole(value) else "a whole number",
    float: lambda value: (
        "" if isinstance(value, Real) and math.isfinite(value) else "a finite number"
    ),
    tuple[int, int]: lambda value: "" if _is_pair(value) else "two whole numbers",
    bool: lambda value: "" if isinstance(value, bool) else "True or False",
    Style: lambda value: "" if isinstance(value, Style) else "a Style",
}
"""Type of a field → function that names what a value must be, empty if it is that."""

_SMALL = Sizes(
    num_train=100,
    num_test=60,
    num_cameras=2,
    train_tracklets=(2, 2),
    test_tracklets=(2, 2),
    num_frames=(8, 60),
    median_frames=20,
    spread=0.5,
    frame_height=128,
    frame_width=64,
)
_STILL = Style(pace=0.03, standing=0.0, box=0.4, occlusion=0.05, passing=0.05)

SIZES = {
    "tiny": Sizes(edge_cases=True),
    # Even ground and similar cameras: a small network learns it within minutes.
    "street_small": dataclasses.replace(
        _SMALL,
        num_train=140,
        num_cameras=4,
        train_tracklets=(1, 2),
        test_tracklets=(2, 3),
        unseen=0.05,
        num_frames=(6, 40),
        median_frames=14,
        style=Style(
            dark=0.12,
            color=0.08,
            clutter=0.15,
            light_drift=0.06,
            occlusion=0.10,
            passing=0.12,
        ),
    ),
    # Like MARS: hundreds of persons, 2 to 920 frames with a median of 32.
    "street": dataclasses.replace(
        _SMALL,
        num_train=625,
        num_test=625,
        num_distractors=600,
        num_junk=200,
        num_cameras=6,
        train_tracklets=(1, 4),
        test_tracklets=(2, 4),
        unseen=0.35,
        num_frames=(2, 920),
        median_frames=32,
        spread=0.93,
        frame_height=256,
        frame_width=128,
        style=Style(switch=0.02),
        seed=1,
    ),
    # Like PRID-2011: outdoors, two cameras that see people walk by.
    "outdoor": dataclasses.replace(
        _SMALL,
        num_train=89,
        num_test=89,
        num_frames=(5, 200),
        median_frames=60,
        style=Style(
            dark=0.3, occlusion=0.03, passing=0.06, box=0.6, elevation=(0.2, 0.7)
        ),
        seed=2,
    ),
    # Like iLIDS-VID: a crowded airport hall, similar clothes.
    "hall": dataclasses.replace(
        _SMALL,
        num_train=150,
        num_test=150,
        num_frames=(23, 192),
        median_frames=71,
        style=Style(dark=0.65, occlusion=0.45, passing=0.75, elevation=(0.25, 0.6)),
        seed=3,
    ),
    "aerial": dataclasses.replace(
        _SMALL,
        style=Style(
            dark=0.3,
            elevation=(0.44, 1.40),
            figure_px=(40.0, 110.0),
            color=0.25,
            clutter=0.5,
            scale_change=0.3,
        ),
        seed=4,
    ),
    "twins": dataclasses.replace(
        _SMALL, twins=4, num_frames=(24, 64), median_frames=32, style=_STILL, seed=5
    ),
    "days": dataclasses.replace(_SMALL, num_cameras=3, days=2, seed=6),
    # To train for unknown footage: difficult cameras, all kinds of people.
    "anywhere": dataclasses.replace(
        _SMALL,
        num_train=2000,
        num_test=200,
        num_cameras=24,
        train_tracklets=(1, 2),
        test_tracklets=(2, 2),
        unseen=0.75,
        num_frames=(6, 40),
        median_frames=14,
        style=Style(
            color=0.5,
            figure_px=(36.0, 200.0),
            elevation=(0.03, 0.70),
            variety=EVERYTHING,
        ),
        seed=7,
    ),
}


def names(text: str) -> list[str]:
    """The worlds in a script's flag: `a,b`, or `all`.

    Raises ArgumentTypeError for unknown ones.
    """
    chosen = list(SIZES) if text == "all" else text.split(",")
    if unknown := [name for name in chosen if name not in SIZES]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: unknown; known: {', '.join(SIZES)}, all"
        )
    return chosen
