"""A whole data set of walkers: who is seen where, for how long, and in which split.

Every random choice folds its key from (seed, what it belongs to): person i is the same
however many there are, and so is each tracklet.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator

import jax
import numpy as np

from data.walkers import render, scene
from data.walkers.person import sample_person

BATCH = 64
"""Frames rendered at once; fixed, so that one program makes all bytes."""

_PERSON, _CAMERA, _BACKDROP, _TRACKLET, _COUNT = range(5)


@dataclasses.dataclass(eq=False)
class Sizes:
    """How large a world is."""

    num_train: int = 8
    """Persons in `train`, with pids from 1."""
    num_test: int = 4
    """Persons in `query` and `gallery`, with the pids that follow."""
    num_cameras: int = 3
    train_tracklets: tuple[int, int] = (1, 2)
    """Fewest and most tracklets per training person and camera."""
    test_tracklets: tuple[int, int] = (2, 2)
    """The same for test persons; the first one is a query, the others gallery."""
    unseen: float = 0.0
    """Probability that a person never passes a camera; two cameras always see one."""
    num_frames: tuple[int, int] = (2, 9)
    """Fewest and most frames per tracklet; short ones are more frequent."""
    frame_height: int = 64
    frame_width: int = 32
    edge_cases: bool = True
    """Person 1 has a single tracklet, and the last gallery tracklet a single frame."""
    seed: int = 0


SIZES = {
    "tiny": Sizes(),
    "street_small": Sizes(
        num_train=100,
        num_test=60,
        num_cameras=4,
        train_tracklets=(1, 2),
        test_tracklets=(2, 3),
        unseen=0.05,
        num_frames=(6, 40),
        frame_height=128,
        frame_width=64,
        edge_cases=False,
    ),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tracklet of the plan; `index` counts within its person and camera."""

    split: str
    pid: int
    camid: int
    index: int
    num_frames: int

    @property
    def name(self) -> str:
        return f"{self.pid:04d}_c{self.camid + 1}_t{self.index + 1}"


def _key(seed: int, *path: int):
    key = jax.random.key(seed)
    for number in path:
        key = jax.random.fold_in(key, number)
    return key


def _uniform(seed: int, *path: int) -> np.ndarray:
    return np.asarray(jax.random.uniform(_key(seed, *path), (2,)), np.float64)


def plan(sizes: Sizes) -> list[Entry]:
    """Every tracklet of the world, ordered by split, person, camera and index."""
    entries = []
    for pid in range(1, sizes.num_train + sizes.num_test + 1):
        is_train = pid <= sizes.num_train
        low, high = sizes.train_tracklets if is_train else sizes.test_tracklets
        draws = [
            _uniform(sizes.seed, _COUNT, pid, camid)
            for camid in range(sizes.num_cameras)
        ]
        seen = [camid for camid, u in enumerate(draws) if u[0] >= sizes.unseen]
        if len(seen) < 2:
            seen = sorted(np.argsort([-u[0] for u in draws])[:2].tolist())
        for camid in seen:
            count = low + int(draws[camid][1] * (high - low + 1))
            for index in range(count):
                split = "train" if is_train else ("gallery" if index else "query")
                u = _uniform(sizes.seed, _COUNT, pid, camid, index)
                shortest, longest = sizes.num_frames
                length = shortest + int((longest - shortest + 1) * u[0] ** 2.2)
                entries.append(Entry(split, pid, camid, index, length))
    if sizes.edge_cases:
        first = next(e for e in entries if e.pid == 1)
        entries = [e for e in entries if e.pid != 1 or e == first]
        last = max(i for i, e in enumerate(entries) if e.split == "gallery")
        entries[last] = dataclasses.replace(entries[last], num_frames=1)
    order = ("train", "query", "gallery")
    return sorted(entries, key=lambda e: (order.index(e.split), e.name))


class World:
    """The pixels of a world: `render(entries)` yields their frames."""

    def __init__(self, sizes: Sizes):
        self.sizes = sizes
        seed = sizes.seed
        self.cameras = [
            _numpy(scene.sample_camera(_key(seed, _CAMERA, camid), camid))
            for camid in range(sizes.num_cameras)
        ]
        self.backdrops = np.stack(
            [
                scene.paint_backdrop(_key(seed, _BACKDROP, camid), camera)
                for camid, camera in enumerate(self.cameras)
            ]
        )
        self._person = functools.cache(
            lambda pid: _numpy(sample_person(_key(seed, _PERSON, pid)))
        )

    def tracklet(self, entry: Entry) -> scene.Tracklet:
        """The course of one tracklet."""
        key = _key(self.sizes.seed, _TRACKLET, entry.pid, entry.camid, entry.index)
        camera = self.cameras[entry.camid]
        num_frames = np.int32(entry.num_frames)
        camid = np.int32(entry.camid)
        return _numpy(scene.sample_tracklet(key, camera, camid, num_frames))

    def quality(self, camid: int) -> int:
        """JPEG quality of a camera's frames."""
        return int(self.cameras[camid].quality)

    def render(self, entries: list[Entry]) -> Iterator[tuple[Entry, np.ndarray]]:
        """(entry, frames uint8 [T,H,W,3]) in order.

        The frames of all tracklets are strung together and rendered `BATCH` at a time;
        the last batch is filled up with its own last frame.
        """
        pending = collections.deque()
        done = []
        rendered = self._batches(entries)
        for entry in entries:
            pending.append(entry)
            while sum(len(part) for part in done) < entry.num_frames:
                done.append(next(rendered))
            frames = np.concatenate(done) if len(done) > 1 else done[0]
            yield entry, frames[: entry.num_frames]
            done = [frames[entry.num_frames :]]

    def _batches(self, entries: list[Entry]) -> Iterator[np.ndarray]:
        frame_size = (self.sizes.frame_height, self.sizes.frame_width)
        rows = []
        ahead = None
        for number, entry in enumerate(entries):
            tracklet = self.tracklet(entry)
            person, camera = self._person(entry.pid), self.cameras[entry.camid]
            for frame in range(entry.num_frames):
                rows.append((person, camera, tracklet, np.int32(frame)))
            is_last = number == len(entries) - 1
            while len(rows) >= BATCH or (is_last and rows):
                batch, rows = rows[:BATCH], rows[BATCH:]
                count = len(batch)
                batch += batch[-1:] * (BATCH - count)
                batch = jax.tree.map(lambda *a: np.stack(a), *batch)
                # Dispatched before the previous batch is fetched: the encoder of the
                # one runs beside the renderer of the other.
                frames = render.render_frames(
                    *batch, self.backdrops, frame_size=frame_size
                )
                if ahead is not None:
                    yield np.asarray(ahead[0])[: ahead[1]]
                ahead = (frames, count)
        if ahead is not None:
            yield np.asarray(ahead[0])[: ahead[1]]


def generate(
    sizes: Sizes, split: str | None = None
) -> Iterator[tuple[str, str, int, int, np.ndarray]]:
    """(split, name, pid, camid, frames) of every tracklet, or of one split's."""
    entries = [e for e in plan(sizes) if split in (None, e.split)]
    for entry, frames in World(sizes).render(entries):
        yield entry.split, entry.name, entry.pid, entry.camid, frames


def _numpy(tree):
    return jax.tree.map(np.asarray, tree)
