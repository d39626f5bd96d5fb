"""How large the worlds are and what they are like: one `Sizes` for each config."""

import argparse
import dataclasses
import math
from numbers import Integral, Real

from data.walkers.style import Style
from data.walkers.variety import EVERYTHING
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large a world is."""

    num_train: int = 8
    """Persons in `train`, with pids from 1."""
    num_test: int = 4
    """Persons in `query` and `gallery`, with the pids that follow."""
    num_distractors: int = 0
    """Tracklets in `gallery` of people who are in no query: pid 0."""
    num_junk: int = 0
    """Tracklets in `gallery` that hardly show anyone: pid -1."""
    num_cameras: int = 3
    train_tracklets: tuple[int, int] = (1, 2)
    """Fewest and most tracklets per training person and camera."""
    test_tracklets: tuple[int, int] = (2, 2)
    """The same for test persons; the first one is a query, the others gallery."""
    unseen: float = 0.0
    """Probability that a person never passes a camera; two cameras always see one."""
    num_frames: tuple[int, int] = (2, 9)
    """Fewest and most frames per tracklet."""
    median_frames: float = 4.0
    spread: float = 0.93
    """Standard deviation of the lengths' logarithm; MARS's is 0.93."""
    frame_height: int = 64
    frame_width: int = 32
    twins: int = 1
    """Persons in a row who share clothes, build and posture and differ by gait."""
    days: int = 1
    """2: all but a person's first tracklet in each camera are of another day."""
    edge_cases: bool = False
    """Person 1 has a single tracklet, and the last gallery tracklet a single frame."""
    style: Style = dataclasses.field(default_factory=Style)
    seed: int = 0

    def __post_init__(self):
        """Raises UserError with everything that makes no world."""
        if wrong := [
            f"{field.name}={getattr(self, field.name)!r} must be {what}."
            for field in dataclasses.fields(self)
            if (what := _WRONG[field.type](getattr(self, field.name)))
        ]:
            raise UserError(" ".join(wrong))
        problems = [
            f"{name}={value} must be at least {least}."
            for name, least in _LEAST.items()
            if not (value := getattr(self, name)) >= least
        ]
        for name, least in _FEWEST.items():
            fewest, most = getattr(self, name)
            if not least <= fewest <= most:
                problems.append(
                    f"{name}=({fewest}, {most}) must be (fewest, most) from {least} on."
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
        return self.frame_height, self.frame_width

    def length(self, normal: float) -> int:
        """Frames of a tracklet, log-normal in a standard normal number."""
        shortest, longest = self.num_frames
        frames = self.median_frames * math.exp(self.spread * normal)
        return int(min(max(frames, shortest), longest))


_LEAST = {
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

_FEWEST = {"train_tracklets": 1, "test_tracklets": 2, "num_frames": 1}
"""A test person's first tracklet under a camera is a query, the others gallery."""


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_pair(value) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_whole, value))


_WRONG = {
    int: lambda value: "" if _is_whole(value) else "a whole number",
    float: lambda value: (
        "" if isinstance(value, Real) and math.isfinite(value) else "a finite number"
    ),
    tuple[int, int]: lambda value: "" if _is_pair(value) else "two whole numbers",
    bool: lambda value: "" if isinstance(value, bool) else "True or False",
    Style: lambda value: "" if isinstance(value, Style) else "a Style",
}
"""What a value of a field's type has to be, where it is not."""

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
    # Even ground and alike cameras: a small network learns it within minutes.
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
    # As MARS: persons by the hundreds, lengths 2 to 920 with a median of 32 frames.
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
    # As PRID-2011: two cameras that see one walking by, in the open.
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
    # As iLIDS-VID: an airport's hall, crowded, clothes alike.
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
    # To train on, for footage that nobody has seen: hard cameras, all kinds of people.
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
    """The worlds that a script's flag names: `a,b`, or `all`."""
    chosen = list(SIZES) if text == "all" else text.split(",")
    if unknown := [name for name in chosen if name not in SIZES]:
        raise argparse.ArgumentTypeError(
            f"{', '.join(unknown)}: unknown; known: {', '.join(SIZES)}, all"
        )
    return chosen
