"""Who is seen where, for how long, and in which split.

Every random choice folds its key from (seed, what it belongs to): person i is the same
however many there are, and so is each tracklet.
"""

import dataclasses

import jax
import numpy as np
from scipy import special

from data.walkers.sizes import Sizes

PERSON, CAMERA, BACKDROP, TRACKLET, COUNT, BATCH = range(6)
"""What a key is for: the first number after the seed."""

DISTRACTOR_PID, JUNK_PID = 0, -1
_FIRST_DISTRACTOR = 1_000_000
_FIRST_JUNK = 2_000_000


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tracklet of the plan; `index` counts within its person and camera."""

    split: str
    pid: int
    camid: int
    index: int
    num_frames: int
    person: int
    """Number of the person; that of a pid above 0 is the pid."""

    @property
    def name(self) -> str:
        number = self.person % _FIRST_DISTRACTOR
        prefix = _PREFIXES.get(self.pid, "")
        return f"{prefix}{number:04d}_c{self.camid + 1}_t{self.index + 1}"


_PREFIXES = {DISTRACTOR_PID: "distractor", JUNK_PID: "junk"}


def key(seed: int, *path: int):
    """The key of what `path` names."""
    out = jax.random.key(seed)
    for number in path:
        out = _fold_in(out, number)
    return out


_fold_in = jax.jit(jax.random.fold_in)


def _uniform(seed: int, *path: int) -> np.ndarray:
    # A hash of the path: a key of jax.random for each number would take minutes.
    return np.random.default_rng([seed, *path]).random(2)


def plan(sizes: Sizes) -> list[Entry]:
    """Every tracklet of the world, ordered by split, person, camera and index."""
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
    """The tracklets of a person, in `train` if not one of the test persons."""
    is_train = not sizes.num_train < pid <= sizes.num_train + sizes.num_test
    low, high = sizes.train_tracklets if is_train else sizes.test_tracklets
    draws = [_uniform(sizes.seed, COUNT, pid, c) for c in range(sizes.num_cameras)]
    seen = [camid for camid, u in enumerate(draws) if u[0] >= sizes.unseen]
    if len(seen) < 2:
        seen = sorted(np.argsort([-u[0] for u in draws])[:2].tolist())
    entries = []
    for camid in seen:
        for index in range(low + int(draws[camid][1] * (high - low + 1))):
            split = "train" if is_train else ("gallery" if index else "query")
            u = _uniform(sizes.seed, COUNT, pid, camid, index)
            length = sizes.length(special.ndtri(u[0]))
            entries.append(Entry(split, pid, camid, index, length, pid))
    return entries
