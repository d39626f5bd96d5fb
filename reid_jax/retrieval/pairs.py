"""Which training tracklets a metric is fitted to: rows of one view against another."""

import numpy as np
from jaxtyping import Bool, Integer

from reid_jax.arrays import Array


def halves(
    pids: Integer[Array, "N"], camids: Integer[Array, "N"], *, seed: int
) -> tuple[Integer[np.ndarray, "K"], Integer[np.ndarray, "K"]]:
    """Half of each person's tracklets, drawn at random, and a partner for each.

    The partners come from the other half, one to one; pairs under the same camera are
    dropped, and of an odd number of tracklets one is left out (MARS's own script).
    Returns the positions of the two, in the order of the sorted pids.
    """
    pids, camids = _labels(pids, camids)
    rng = np.random.default_rng(seed)
    # All of them in random order, then stably by person: each person's in random order.
    order = rng.permutation(len(pids))
    order = order[np.argsort(pids[order], kind="stable")]
    _, starts, counts = np.unique(pids[order], return_index=True, return_counts=True)
    half = counts // 2
    place = np.arange(half.sum()) - np.repeat(np.cumsum(half) - half, half)
    first = order[np.repeat(starts, half) + place]
    second = order[np.repeat(starts + half, half) + place]
    across = camids[first] != camids[second]
    return first[across], second[across]


def two_cameras(
    camids: Integer[Array, "N"], first: int, second: int
) -> tuple[Integer[np.ndarray, "Q"], Integer[np.ndarray, "G"]]:
    """Positions of the tracklets under one camera, and of those under another.

    For sets of two cameras (PRID-2011, iLIDS-VID), which need no drawing.
    """
    camids = np.asarray(camids)
    sides = tuple(np.flatnonzero(camids == camid) for camid in (first, second))
    for camid, side in zip((first, second), sides, strict=True):
        if not len(side):
            raise ValueError(
                f"No tracklet is under camera {camid}; there are cameras "
                f"{', '.join(map(str, np.unique(camids)))}."
            )
    return sides


def same_and_different(
    pids: Integer[Array, "N"], camids: Integer[Array, "N"], *, seed: int
) -> tuple[Integer[np.ndarray, "K"], Integer[np.ndarray, "K"], Bool[np.ndarray, "K"]]:
    """All pairs of a person under two cameras, and as many of different persons.

    The latter are drawn at random, also under two cameras; fewer where not many more
    exist.
    Returns positions of first and second, and whether they are the same person.
    """
    pids, camids = _labels(pids, camids)
    rng = np.random.default_rng(seed)
    same = []
    for pid in np.unique(pids):
        rows = np.flatnonzero(pids == pid)
        a, b = np.triu_indices(len(rows), 1)
        same.append(np.stack([rows[a], rows[b]]))
    same = np.concatenate(same, axis=1)
    same = same[:, camids[same[0]] != camids[same[1]]]
    # Twice as many as wanted and more, of which duplicates and wrong ones are dropped.
    drawn = np.sort(rng.integers(len(pids), size=(2, 4 * same.shape[1] + 64)), axis=0)
    is_right = (pids[drawn[0]] != pids[drawn[1]]) & (
        camids[drawn[0]] != camids[drawn[1]]
    )
    drawn = drawn[:, is_right]
    _, once = np.unique(drawn, axis=1, return_index=True)
    different = drawn[:, np.sort(once)[: same.shape[1]]]
    is_same = np.repeat([True, False], [same.shape[1], different.shape[1]])
    first, second = np.concatenate([same, different], axis=1)
    return first, second, is_same


def _labels(pids, camids) -> tuple[np.ndarray, np.ndarray]:
    pids, camids = np.asarray(pids), np.asarray(camids)
    if not len(pids):
        raise ValueError("There are no tracklets to pair.")
    if pids.shape != camids.shape:
        raise ValueError(f"{len(pids)} pids, but {len(camids)} camids.")
    return pids, camids
