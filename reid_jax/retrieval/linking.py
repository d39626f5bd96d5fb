"""Finds the person of each track by average-linkage clustering with forbidden pairs.

Two groups of tracks are merged into one person if the mean distance between their
tracks is at most a threshold and no pair of them is forbidden (a person is in one place
at a time). Consider the graph of all pairs at distance <= threshold. A cluster of mean
distance <= threshold lies within a connected component of this graph. Each component is
therefore clustered separately, and memory is quadratic in the largest component. A
threshold that separates persons well makes small components; a threshold that links
some wrong pairs connects most tracks.

Source: unweighted average linkage (UPGMA), Sokal & Michener 1958; cannot-link
constraints as in Davidson & Ravi 2005.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.sparse import csgraph

from reid_jax import quantities
from reid_jax.errors import UserError
from reid_jax.retrieval import distances

Forbidden = Callable[[np.ndarray, np.ndarray], Bool[np.ndarray, "R C"]]
"""(rows [R], columns [C]) → which pairs of these tracks cannot be one person."""

_BYTES_A_PAIR = 8
"""A component of m tracks needs m² times as much: SciPy keeps half a float64 matrix
twice."""

_NEVER = 1e30
"""Distance of a forbidden pair. Every mean that includes it exceeds any threshold."""

_MARGIN = 1e-4
"""Relative tolerance: the graph is made in float32, the clusters in float64."""

_ROWS = 512


@dataclasses.dataclass(frozen=True)
class Links:
    """The person of each track, and how certain each link is."""

    labels: Int[np.ndarray, "N"]
    """The person of each track. Persons are numbered from 0, by their first track."""

    distance: Float[np.ndarray, "N"]
    """Mean distance of a track to its person's other tracks; nan if there are none."""

    as_near: Int[np.ndarray, "M 2"]
    """Pairs (track, another person who is as near): no forbidden pair separates them,
    and the track's mean distance to that person's tracks is at most its `distance`."""


def link(
    embeddings: Float[np.ndarray, "N D"],
    threshold: float | int,
    forbidden: Forbidden,
    *,
    metric: str = "l2",
    memory_gb: float | int = 8.0,
) -> Links:
    """Clusters tracks into persons: the mean distance of a merge is <= `threshold`.

    Args:
        embeddings: one row for each track.
        threshold: a distance by `metric`.
        forbidden: which pairs of tracks cannot be one person.
        metric: "l2" or "cosine".
        memory_gb: memory limit, in 10⁹ bytes.

    Raises:
        UserError: a component needs more than `memory_gb`.
    """
    num = len(embeddings)
    component = _components(embeddings, threshold, forbidden, metric)
    groups = _members(component)
    _check_memory(max(map(len, groups), default=0), num, memory_gb)
    labels, distance, as_near = np.zeros(num, int), np.full(num, np.nan), []
    num_persons = 0
    for tracks in groups:
        clusters = np.zeros(len(tracks), int)
        if len(tracks) > 1:
            tree = _tree(embeddings, tracks, forbidden, metric)
            clusters = _cut(tree, int(np.sum(tree[:, 2] <= threshold)))
            distance[tracks], near = _compared(
                embeddings, tracks, clusters, forbidden, metric
            )
            as_near.append(near + np.array([0, num_persons]))
        labels[tracks] = num_persons + clusters
        num_persons += clusters.max() + 1
    return _numbered(labels, distance, as_near)


def link_into(
    num_persons: int,
    embeddings: Float[np.ndarray, "N D"],
    forbidden: Forbidden,
    *,
    metric: str = "l2",
    memory_gb: float | int = 8.0,
) -> tuple[Links, float]:
    """Clusters tracks into `num_persons` persons; returns the threshold as well.

    All tracks are one component here: memory is quadratic in their number.

    Raises:
        UserError: it needs more than `memory_gb`, or so few persons are impossible
            because of the forbidden pairs, or there are fewer tracks than persons.
    """
    num = len(embeddings)
    check_number(num_persons, num, memory_gb)
    if num == 1:
        return _numbered(np.zeros(1, int), np.full(1, np.nan), []), 0.0
    all_tracks = np.arange(num)
    tree = _tree(embeddings, all_tracks, forbidden, metric)
    # The mean distance of two clusters is at least this if a pair is forbidden.
    num_allowed = int(np.sum(tree[:, 2] < _NEVER / num**2))
    if num_persons < num - num_allowed:
        raise UserError(
            f"--persons={num_persons} is too few: tracks that are not one person "
            f"make at least {num - num_allowed}."
        )
    heights = np.concatenate([[0.0], tree[:, 2]])
    threshold = float(heights[num - num_persons])
    labels = _cut(tree, num - num_persons)
    distance, near = _compared(embeddings, all_tracks, labels, forbidden, metric)
    return _numbered(labels, distance, [near]), threshold


def check_number(num_persons: int, num_tracks: int, memory_gb: float | int) -> None:
    """Raises a UserError if that number of persons is impossible for the tracks."""
    if not 1 <= num_persons <= num_tracks:
        raise UserError(
            f"--persons={num_persons}: it must be from 1 to the {num_tracks} tracks."
        )
    if gigabytes(num_tracks) > memory_gb:
        raise UserError(
            f"--persons takes {_size(num_tracks)} for {num_tracks:,} tracks, more than "
            f"{memory_gb:g} GB. A threshold or more --memory_gb helps."
        )


def gigabytes(num_connected: int) -> float:
    """Memory in 10⁹ bytes that clustering so many connected tracks takes."""
    return _BYTES_A_PAIR * num_connected**2 / 1e9


def _size(num_connected: int) -> str:
    return f"{quantities.three_digits(gigabytes(num_connected))} GB"


def most_connected(memory_gb: float | int) -> int:
    """Number of connected tracks that can be clustered in `memory_gb` 10⁹ bytes."""
    return int((memory_gb * 1e9 / _BYTES_A_PAIR) ** 0.5)


def distance_matrix(
    x: Float[np.ndarray, "R D"], y: Float[np.ndarray, "C D"], metric: str
) -> Float[np.ndarray, "R C"]:
    """Computes distances in float64 with NumPy, which compiles nothing."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if metric == "cosine":
        x, y = distances.unit(x), distances.unit(y)
    squares = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2 * x @ y.T
    np.maximum(squares, 0, out=squares)
    return squares / 2 if metric == "cosine" else np.sqrt(squares, out=squares)


def _components(embeddings, threshold, forbidden, metric) -> np.ndarray:
    """Finds the component of each track, from one block of distances at a time."""
    all_tracks = np.arange(len(embeddings))
    component = all_tracks
    for rows, block in distances.blocks(embeddings, embeddings, metric):
        near = np.asarray(block) <= threshold * (1 + _MARGIN)
        near &= ~forbidden(all_tracks[rows], all_tracks)
        row, column = np.nonzero(near)
        edges = component[row + rows.start], component[column]
        shape = (len(embeddings),) * 2
        graph = sparse.coo_array((np.ones(len(row), bool), edges), shape=shape)
        _, merged = csgraph.connected_components(graph.tocsr(), directed=False)
        component = merged[component]
    return component


def _members(labels: np.ndarray) -> list[np.ndarray]:
    """Returns the tracks of each label, in order of the labels."""
    order = np.argsort(labels, kind="stable")
    _, first = np.unique(labels[order], return_index=True)
    return np.split(order, first[1:])


def _check_memory(num_connected: int, num: int, memory_gb: float) -> None:
    if gigabytes(num_connected) > memory_gb:
        raise UserError(
            f"The threshold connects {num_connected:,} of {num:,} tracks: clustering "
            f"them takes {_size(num_connected)}, more than {memory_gb:g} GB. A smaller "
            "threshold (or share of false links), or a larger --memory_gb helps."
        )


def _tree(embeddings, tracks, forbidden, metric) -> Float[np.ndarray, "_ 4"]:
    """Returns SciPy's tree of merges of these tracks, smallest distance first."""
    num = len(tracks)
    condensed = np.empty(num * (num - 1) // 2)
    end = 0
    for start in range(0, num, _ROWS):
        rows = tracks[start : start + _ROWS]
        block = distance_matrix(embeddings[rows], embeddings[tracks], metric)
        block[forbidden(rows, tracks)] = _NEVER
        for i, row in enumerate(block, start=start):
            condensed[end : end + num - i - 1] = row[i + 1 :]
            end += num - i - 1
    return hierarchy.linkage(condensed, "average")


def _cut(tree: np.ndarray, num_merges: int) -> Int[np.ndarray, "_"]:
    """Returns the cluster of each track after the first `num_merges` merges."""
    num = len(tree) + 1
    parents = num + np.arange(num_merges)
    edges = (
        tree[:num_merges, :2].astype(int).ravel(order="F"),
        np.concatenate([parents, parents]),
    )
    shape = (num + num_merges,) * 2
    graph = sparse.coo_array((np.ones(2 * num_merges, bool), edges), shape=shape)
    _, labels = csgraph.connected_components(graph.tocsr(), directed=False)
    return np.unique(labels[:num], return_inverse=True)[1]


def _compared(
    embeddings, tracks, labels, forbidden, metric
) -> tuple[Float[np.ndarray, "N"], Int[np.ndarray, "_ 2"]]:
    """Computes `Links.distance` and `Links.as_near` for the tracks of one component."""
    num, num_persons = len(tracks), labels.max() + 1
    membership = sparse.csr_array((np.ones(num), (np.arange(num), labels)))
    counts = np.bincount(labels)
    mean_distance, as_near = np.full(num, np.nan), []
    for start in range(0, num, _ROWS):
        rows = slice(start, start + _ROWS)
        block = distance_matrix(embeddings[tracks[rows]], embeddings[tracks], metric)
        block[np.arange(len(block)), np.arange(start, start + len(block))] = 0
        sums = (membership.T @ block.T).T
        persons, positions = labels[rows], np.arange(len(block))
        has_others = counts[persons] > 1
        mean_distance[rows] = np.where(
            has_others,
            sums[positions, persons] / np.maximum(counts[persons] - 1, 1),
            np.nan,
        )
        if num_persons > 1:
            is_apart = (membership.T @ forbidden(tracks[rows], tracks).T).T > 0
            is_near = (sums / counts <= mean_distance[rows, None]) & ~is_apart
            is_near[positions, persons] = False
            pairs = np.argwhere(is_near)
            as_near.append(np.stack([tracks[rows][pairs[:, 0]], pairs[:, 1]], axis=1))
    return mean_distance, np.concatenate([np.zeros((0, 2), int), *as_near])


def _numbered(labels: np.ndarray, distance: np.ndarray, as_near: list) -> Links:
    """Numbers the persons by their first track."""
    _, first, labels = np.unique(labels, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first))
    near = np.concatenate([np.zeros((0, 2), int), *as_near])
    near[:, 1] = number[near[:, 1]]
    return Links(number[labels], distance, near[np.lexsort(near.T[::-1])])
