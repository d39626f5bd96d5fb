"""From tracks to persons, with what is uncertain about each link."""

import dataclasses

import numpy as np

from reid_jax.footage.appearances import Appearances
from reid_jax.footage.constraints import Constraints
from reid_jax.retrieval import linking

_NEAR = 0.9
"""Of the threshold: a mean distance beyond this is called near it."""

_MOST_NOTES = 3

_SAMPLE = 2000
"""Tracks whose distances to all others make the histogram."""

_ROWS, _NUM_BINS = 256, 60
_KINDS = ("linked", "not linked", "at the same time: two persons")


@dataclasses.dataclass(frozen=True)
class Persons:
    """The person of each track, and how sure that is."""

    person: np.ndarray  # int [N], from 1, in order of their first appearance
    distance: np.ndarray  # float [N], mean to the person's other tracks, nan if alone
    note: list[str]  # why a link is uncertain; empty where it is not
    threshold: float
    metric: str

    @property
    def num_persons(self) -> int:
        return int(self.person.max(initial=0))

    def members(self) -> dict[int, np.ndarray]:
        """The tracks of each person."""
        order = np.argsort(self.person, kind="stable")
        several, first = np.unique(self.person[order], return_index=True)
        groups = np.split(order, first[1:])
        return dict(zip(several.tolist(), groups, strict=True))


def find(
    seen: Appearances,
    constraints: Constraints,
    *,
    metric: str,
    threshold: float | None = None,
    num_persons: int | None = None,
    memory_gb: float,
) -> Persons:
    """Links tracks by a threshold, or into so many persons.

    A link is uncertain where its mean distance is near the threshold, and where the
    track is as near to another person whom it could be.
    Raises UserError as `linking.link` and `linking.link_into`.
    """
    x, options = seen.embeddings, {"metric": metric, "memory_gb": memory_gb}
    if num_persons is None:
        links = linking.link(x, threshold, constraints, **options)
    else:
        links, threshold = linking.link_into(num_persons, x, constraints, **options)
    order = seen.order()
    _, first = np.unique(links.labels[order], return_index=True)
    number = np.argsort(np.argsort(first)) + 1
    person = number[links.labels]
    notes: list[list[str]] = [[] for _ in range(len(seen))]
    for track in np.flatnonzero(links.distance > _NEAR * threshold).tolist():
        notes[track].append("near the threshold")
    for track, other in links.as_near.tolist():
        if len(notes[track]) < _MOST_NOTES:
            notes[track].append(f"as near to person {number[other]}")
    texts = ["; ".join(each) for each in notes]
    return Persons(person, links.distance, texts, threshold, metric)


@dataclasses.dataclass(frozen=True)
class PairDistances:
    """How many pairs of tracks lie at which distance."""

    edges: np.ndarray  # float [M + 1], of the bins; the last bin has what is beyond
    counts: dict[str, np.ndarray]  # of linked pairs, others, and forbidden ones: [M]
    num_sampled: int  # tracks whose pairs were counted; N: all


def pair_distances(
    seen: Appearances, constraints: Constraints, persons: Persons
) -> PairDistances:
    """Counts the pairs of tracks by their distance.

    Of more than 2,000 tracks, those of 2,000 of them, evenly spaced, to all.
    """
    num, everybody = len(seen), np.arange(len(seen))
    rows = np.unique(np.linspace(0, num - 1, min(num, _SAMPLE)).astype(int))
    edges = None
    counts = {name: np.zeros(_NUM_BINS, int) for name in _KINDS}
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        block = linking.distance_matrix(
            seen.embeddings[some], seen.embeddings, persons.metric
        )
        if edges is None:
            top = max(1.1 * persons.threshold, float(block.max()), 1e-6)
            edges = np.linspace(0, top, _NUM_BINS + 1)
        is_pair = some[:, None] != everybody
        if len(rows) == num:  # each pair once
            is_pair = some[:, None] < everybody
        is_linked = persons.person[some, None] == persons.person
        is_forbidden = constraints(some, everybody)
        chosen = (is_linked, ~is_linked & ~is_forbidden, is_forbidden)
        for name, which in zip(_KINDS, chosen, strict=True):
            values = np.minimum(block[is_pair & which], edges[-1])
            counts[name] += np.histogram(values, edges)[0]
    return PairDistances(edges, counts, len(rows))
