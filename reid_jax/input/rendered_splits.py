"""The tracklets of rendered worlds, without their frames."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping

import numpy as np

from data.walkers import plan, stream, world
from data.walkers.plan import Entry
from data.walkers.sizes import SIZES, Sizes
from data.walkers.world import World
from reid_jax.errors import UserError
from reid_jax.input import joining


@dataclasses.dataclass(frozen=True)
class Split:
    """Tracklets of a world, without their frames."""

    sizes: Sizes
    entries: list[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def world(self) -> World:
        return _build_world(self.sizes)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that is rendered: tracklets, world and its version."""
        text = f"{world.VERSION} {self.sizes} {self.entries}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @functools.cached_property
    def names(self) -> np.ndarray:
        return np.array([entry.name for entry in self.entries], np.str_)

    @functools.cached_property
    def pids(self) -> np.ndarray:
        return np.array([entry.pid for entry in self.entries], np.int64)

    @functools.cached_property
    def camids(self) -> np.ndarray:
        return np.array([entry.camid for entry in self.entries], np.int64)

    @functools.cached_property
    def num_frames(self) -> np.ndarray:
        return np.array([entry.num_frames for entry in self.entries], np.int64)


@dataclasses.dataclass(frozen=True)
class JoinedSplit:
    """The training tracklets of several worlds; no two share a person or a camera."""

    names: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    num_frames: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        return len(self.names)


def join(splits: Mapping[str, Split]) -> Split | JoinedSplit:
    """Joins the splits of worlds by name; a single one is unchanged."""
    if len(splits) == 1:
        return next(iter(splits.values()))
    fingerprint = " ".join(split.fingerprint for split in splits.values())
    return JoinedSplit(*joining.join_labels(splits), fingerprint)


def sizes_of(name: str, frame_size: tuple[int, int]) -> Sizes:
    """Sizes of the world "walkers/…", with frames of that (height, width).

    Raises:
        UserError: there is no such world.
    """
    folder, _, world_name = name.partition("/")
    if folder != "walkers" or world_name not in SIZES:
        names = ", ".join(f"walkers/{name}" for name in SIZES)
        raise UserError(
            f"{name!r} cannot be rendered; config.data.source='render' knows {names}."
        )
    height, width = frame_size
    sizes = SIZES[world_name]
    return dataclasses.replace(sizes, frame_height=height, frame_width=width)


def training(sizes: Sizes, num_persons: int | None) -> Split:
    """Training tracklets of persons that are not in the world's files.

    `num_persons` is by default the number of training persons in the files.
    """
    first = stream.first_person(sizes.twins)
    pids = range(first, first + (num_persons or sizes.num_train))
    return Split(
        sizes, [entry for pid in pids for entry in plan.tracklets_of(pid, sizes)]
    )


_build_world = functools.lru_cache(8)(World)
