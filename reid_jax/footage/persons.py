"""From tracks to persons, with what is uncertain about each link."""

import dataclasses

import numpy as np

from reid_jax.footage.appearances import Appearances
from reid_jax.footage.constraints import Constraints
from reid_jax.retrieval import distances, linking

_NEAR = 0.9
"""Of the threshold: a mean distance beyond this is called near it."""

_SAMPLE = 2000
"""Tracks whose distances to all others make the histogram."""


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
        notes[track].append(f"as near to person {number[other]}")
    texts = ["; ".join(each) for each in notes]
    return Persons(person, links.distance, texts, threshold, metric)


def pair_distances(
    seen: Appearances, constraints: Constraints, persons: Persons
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances of pairs of tracks: of linked, other and forbidden pairs.

    Of many tracks, those of 2,000 of them, evenly spaced, to all.
    """
    num = len(seen)
    rows = np.unique(np.linspace(0, num - 1, min(num, _SAMPLE)).astype(int))
    everybody = np.arange(num)
    linked, other, forbidden = [], [], []
    for start in range(0, len(rows), 256):
        some = rows[start : start + 256]
        block = linking.distance_matrix(
            seen.embeddings[some], seen.embeddings, persons.metric
        ).astype(np.float32)
        is_pair = (
            some[:, None] < everybody
            if len(rows) == num
            else some[:, None] != everybody
        )
        is_linked = persons.person[some, None] == persons.person
        is_forbidden = constraints(some, everybody)
        linked.append(block[is_pair & is_linked])
        forbidden.append(block[is_pair & is_forbidden])
        other.append(block[is_pair & ~is_linked & ~is_forbidden])
    return tuple(map(np.concatenate, (linked, other, forbidden)))


@dataclasses.dataclass(frozen=True)
class Found:
    """The tracks nearest to a query, nearest first."""

    query: str
    tracks: np.ndarray  # int [K], positions
    distances: np.ndarray  # float [K]
    num_together: int
    """Tracks that share a frame with the query: they cannot be the same person."""


def search(
    seen: Appearances,
    query: np.ndarray,
    name: str,
    together: np.ndarray,
    itself: int | None = None,
    *,
    metric: str,
    num_results: int,
) -> Found:
    """Ranks the tracks for one query embedding [D].

    `together` bool [N] are the tracks that cannot be the query's person, `itself` the
    query's position where it is one of the tracks.
    """
    others = np.arange(len(seen)) != itself
    allowed = np.flatnonzero(~together & others)
    if not len(allowed):
        return Found(name, allowed, np.zeros(0), int(together.sum()))
    matrix = distances.METRICS[metric](query[None], seen.embeddings[allowed])
    order = np.argsort(np.asarray(matrix)[0], kind="stable")[:num_results]
    return Found(
        name, allowed[order], np.asarray(matrix)[0][order], int(together.sum())
    )
