"""Links tracks into persons, and notes what is uncertain about each link."""

import dataclasses

import numpy as np

from reid_jax.footage.appearances import Appearances
from reid_jax.footage.constraints import Constraints
from reid_jax.retrieval import linking

_NEAR = 0.9
"""A mean distance above this share of the threshold counts as near it."""

_MAX_NOTES = 3

_SAMPLE = 2000
"""Maximum number of tracks whose distances to all others are in the histogram."""

_ROWS, _NUM_BINS = 256, 60
_CATEGORIES = ("linked", "not linked", "at the same time: two persons")


@dataclasses.dataclass(frozen=True)
class Persons:
    """The person of each track, and how certain each link is."""

    person: np.ndarray  # int [N], from 1, in order of first appearance
    distance: np.ndarray  # float [N], mean to the person's other tracks; nan if none
    note: list[str]  # why a link is uncertain; empty if it is certain
    threshold: float
    metric: str

    @property
    def num_persons(self) -> int:
        return int(self.person.max(initial=0))

    def members(self) -> dict[int, np.ndarray]:
        """Returns the tracks of each person."""
        order = np.argsort(self.person, kind="stable")
        persons, first = np.unique(self.person[order], return_index=True)
        groups = np.split(order, first[1:])
        return dict(zip(persons.tolist(), groups, strict=True))


def find(
    seen: Appearances,
    constraints: Constraints,
    *,
    metric: str,
    threshold: float | None = None,
    num_persons: int | None = None,
    memory_gb: float,
) -> Persons:
    """Links tracks into persons, by a threshold or into `num_persons` persons.

    A link is uncertain if its mean distance is near the threshold, or if the track is
    as near to another person who is possible.

    Args:
        seen: the tracks.
        constraints: which pairs of tracks cannot be one person.
        metric: "l2" or "cosine".
        threshold: maximum mean distance of linked tracks; without `num_persons`.
        num_persons: number of persons, in place of a threshold.
        memory_gb: memory limit, in 10⁹ bytes.

    Raises:
        UserError: as `linking.link` and `linking.link_into`.
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
    for track, other_person in links.as_near.tolist():
        if len(notes[track]) < _MAX_NOTES:
            notes[track].append(f"as near to person {number[other_person]}")
    texts = ["; ".join(track_notes) for track_notes in notes]
    return Persons(person, links.distance, texts, threshold, metric)


@dataclasses.dataclass(frozen=True)
class PairDistances:
    """Histograms of the distances of pairs of tracks."""

    edges: np.ndarray  # float [M + 1]; the last bin holds larger distances too
    counts: dict[str, np.ndarray]  # [M], of linked, other and forbidden pairs
    num_sampled: int  # number of tracks whose pairs were counted


def pair_distances(
    seen: Appearances, constraints: Constraints, persons: Persons
) -> PairDistances:
    """Counts the pairs of tracks by their distance.

    With more than 2,000 tracks, it counts the pairs of 2,000 evenly spaced tracks with
    all tracks.
    """
    num, all_tracks = len(seen), np.arange(len(seen))
    rows = np.unique(np.linspace(0, num - 1, min(num, _SAMPLE)).astype(int))
    edges = None
    counts = {name: np.zeros(_NUM_BINS, int) for name in _CATEGORIES}
    for start in range(0, len(rows), _ROWS):
        sample = rows[start : start + _ROWS]
        block = linking.distance_matrix(
            seen.embeddings[sample], seen.embeddings, persons.metric
        )
        if edges is None:
            top = max(1.1 * persons.threshold, float(block.max()), 1e-6)
            edges = np.linspace(0, top, _NUM_BINS + 1)
        is_pair = sample[:, None] != all_tracks
        if len(rows) == num:  # each pair once
            is_pair = sample[:, None] < all_tracks
        is_linked = persons.person[sample, None] == persons.person
        is_forbidden = constraints(sample, all_tracks)
        categories = (is_linked, ~is_linked & ~is_forbidden, is_forbidden)
        for name, in_category in zip(_CATEGORIES, categories, strict=True):
            values = np.minimum(block[is_pair & in_category], edges[-1])
            counts[name] += np.histogram(values, edges)[0]
    return PairDistances(edges, counts, len(rows))
