"""The plan of a world: who is seen where, for how long, and in which split.

Every random choice depends on the seed and on what it is for. So person i and each of
their tracklets stay the same, however many persons there are.
"""

import dataclasses

import jax
import numpy as np
from scipy import special

from data.walkers.sizes import Sizes

PERSON, CAMERA, BACKDROP, TRACKLET, COUNT, BATCH = range(6)
"""Uses of keys: the first number of a path, after the seed."""

DISTRACTOR_PID, JUNK_PID = 0, -1
_FIRST_DISTRACTOR = 1_000_000
_FIRST_JUNK = 2_000_000


@dataclasses.dataclass(frozen=True)
class Entry:
    """A tracklet of the plan; `index` counts those of a person under a camera."""

    split: str
    pid: int
    camid: int
    index: int
    num_frames: int
    person: int
    """Number of the person; equals `pid` where that is above 0."""

    @property
    def name(self) -> str:
        """Name of the tracklet, such as 0012_c1_t2."""
        number = self.person % _FIRST_DISTRACTOR
        prefix = _PREFIXES.get(self.pid, "")
        return f"{prefix}{number:04d}_c{self.camid + 1}_t{self.index + 1}"


_PREFIXES = {DISTRACTOR_PID: "distractor", JUNK_PID: "junk"}


def key(seed: int, *path: int):
    """The JAX key of a seed and a path of numbers."""
    folded = jax.random.key(seed)
    for number in path:
        folded = _fold_in(folded, number)
    return folded


_fold_in = jax.jit(jax.random.fold_in)


def _uniform(seed: int, *path: int) -> np.ndarray:
    # NumPy, because a key of jax.random for each number would take minutes.
    """Two uniform numbers of a seed and a path of numbers."""
    return np.random.default_rng([seed, *path]).random(2)


def plan(sizes: Sizes) -> list[Entry]:
    """All tracklets of a world, sorted by split and name."""
    entries = []
    for pid in range(1, sizes.num_train + sizes.num_test + 1):
        entries += tracklets_of(pid, sizes)
    for first, pid, count in (
        (_FIRST_DISTRACTOR, DISTRACTOR_PID, sizes.num_distractors),
        (_FIRST_JUNK, JUNK_PID, sizes.num_junk),
    ):
        for person in range(first, first + count):
            u = _uniform(sizes.seed, COUNT, person)
            camid = int(u[0] * sizes.num_cameras)
            length = sizes.length(special.ndtri(u[1]))
            entries.append(Entry("gallery", pid, camid, 0, length, person))
    if sizes.edge_cases:
        first = next(e for e in entries if e.pid == 1)
        entries = [e for e in entries if e.pid != 1 or e == first]
        last = max(i for i, e in enumerate(entries) if e.split == "gallery")
        entries[last] = dataclasses.replace(entries[last], num_frames=1)
    order = ("train", "query", "gallery")
    return sorted(entries, key=lambda e: (order.index(e.split), e.name))


def tracklets_of(pid: int, sizes: Sizes) -> list[Entry]:
    """The tracklets of a person: in `train` unless it is a test person."""
    is_train = not sizes.num_train < pid <= sizes.num_train + sizes.num_test
    low, high = sizes.train_tracklets if is_train else sizes.test_tracklets
    draws = [_uniform(sizes.seed, COUNT, pid, c) for c in range(sizes.num_cameras)]
    camids = [camid for camid, u in enumerate(draws) if u[0] >= sizes.unseen]
    if len(camids) < 2:
        camids = sorted(np.argsort([-u[0] for u in draws])[:2].tolist())
    entries = []
    for camid in camids:
        for index in range(low + int(draws[camid][1] * (high - low + 1))):
            split = "train" if is_train else ("gallery" if index else "query")
            u = _uniform(sizes.seed, COUNT, pid, camid, index)
            length = sizes.length(special.ndtri(u[0]))
            entries.append(Entry(split, pid, camid, index, length, pid))
    return entries
