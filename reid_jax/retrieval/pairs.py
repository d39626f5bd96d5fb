"""Chooses the pairs of training tracklets that a metric is fitted to."""

import numpy as np
from jaxtyping import Bool, Integer

from reid_jax.arrays import Array


def halves(
    pids: Integer[Array, "N"], camids: Integer[Array, "N"], *, seed: int
) -> tuple[Integer[np.ndarray, "K"], Integer[np.ndarray, "K"]]:
    """Draws half of each person's tracklets, and pairs each with one of the other half.

    Pairs under the same camera are dropped. If a person has an odd number of tracklets,
    one is not used. This is what MARS's script does.

    Returns:
        The positions of the first and second tracklets, by ascending pid.
    """
    pids, camids = _labels(pids, camids)
    rng = np.random.default_rng(seed)
    # Shuffle all, then sort stably by person: each person's tracklets stay shuffled.
    order = rng.permutation(len(pids))
    order = order[np.argsort(pids[order], kind="stable")]
    _, starts, counts = np.unique(pids[order], return_index=True, return_counts=True)
    half = counts // 2
    place = np.arange(half.sum()) - np.repeat(np.cumsum(half) - half, half)
    first = order[np.repeat(starts, half) + place]
    second = order[np.repeat(starts + half, half) + place]
    is_cross_camera = camids[first] != camids[second]
    return first[is_cross_camera], second[is_cross_camera]


def two_cameras(
    camids: Integer[Array, "N"], first: int, second: int
) -> tuple[Integer[np.ndarray, "Q"], Integer[np.ndarray, "G"]]:
    """Returns the positions of the tracklets under each of two cameras.

    For datasets with two cameras (PRID-2011, iLIDS-VID), where nothing is drawn.

    Raises:
        ValueError: no tracklet is under one of the cameras.
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
    """Returns all pairs of the same person, and as many of different persons.

    The two tracklets of a pair are under different cameras. Pairs of different persons
    are drawn at random. They are fewer if there are hardly enough of them to draw from.

    Returns:
        The positions of the first and second tracklets, and whether each pair shows the
        same person.
    """
    pids, camids = _labels(pids, camids)
    rng = np.random.default_rng(seed)
    same_pairs = []
    for pid in np.unique(pids):
        rows = np.flatnonzero(pids == pid)
        a, b = np.triu_indices(len(rows), 1)
        same_pairs.append(np.stack([rows[a], rows[b]]))
    same_pairs = np.concatenate(same_pairs, axis=1)
    same_pairs = same_pairs[:, camids[same_pairs[0]] != camids[same_pairs[1]]]
    # More than twice as many as needed: duplicates and invalid pairs are dropped.
    candidates = np.sort(
        rng.integers(len(pids), size=(2, 4 * same_pairs.shape[1] + 64)), axis=0
    )
    is_valid = (pids[candidates[0]] != pids[candidates[1]]) & (
        camids[candidates[0]] != camids[candidates[1]]
    )
    candidates = candidates[:, is_valid]
    _, first_index = np.unique(candidates, axis=1, return_index=True)
    different_pairs = candidates[:, np.sort(first_index)[: same_pairs.shape[1]]]
    is_same = np.repeat([True, False], [same_pairs.shape[1], different_pairs.shape[1]])
    first, second = np.concatenate([same_pairs, different_pairs], axis=1)
    return first, second, is_same


def _labels(pids, camids) -> tuple[np.ndarray, np.ndarray]:
    pids, camids = np.asarray(pids), np.asarray(camids)
    if not len(pids):
        raise ValueError("There are no tracklets to pair.")
    if pids.shape != camids.shape:
        raise ValueError(f"{len(pids)} pids, but {len(camids)} camids.")
    return pids, camids
