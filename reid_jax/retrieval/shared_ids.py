"""Rankings of tracklets that have a second id: whom they may show as well.

The rules are those of MARS's cleaned labels (Liu et al. 2021, "Video-Based Person Re-ID
without Bells and Whistles", arXiv:2105.10678), as the authors' public evaluation has
them: two tracklets belong together when they share an id, the first or the second.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import places, ranking


@dataclasses.dataclass(frozen=True)
class Ids:
    """Whose tracklets are, and under which camera; all [N].

    `pids` has -1 for junk and 0 for distractors. `others` are the second ids; below 1
    there is none.
    """

    pids: np.ndarray
    others: np.ndarray
    camids: np.ndarray


def of(ids: Ids, rows: Sequence[int]) -> Ids:
    """Those of some tracklets."""
    return Ids(*(getattr(ids, field.name)[rows] for field in dataclasses.fields(Ids)))


def evaluate(
    distances: Real[Array, "Q G"], query: Ids, gallery: Ids, *, ap: str = "step"
) -> ranking.Ranking:
    """As `ranking.evaluate`, with second ids.

    For each query, gallery entries that share an id with it under its camera, and
    distractors under its camera, are taken out.
    Raises ValueError as `ranking.evaluate`.
    """
    distances = np.asarray(distances)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    ranking.check_lengths(distances.shape, ranking.as_labels(*labels))
    parts = []
    for camid in np.unique(query.camids):
        rows = np.flatnonzero(query.camids == camid)
        is_out = _is_distractor(gallery) & (gallery.camids == camid)
        parts += _found(distances[rows], query, gallery, rows, is_out)
    query_of, entry, place = (
        np.concatenate(several) for several in zip(*parts, strict=True)
    )
    # An entry that two ids lead to counts once.
    _, first = np.unique(np.stack([query_of, entry]), axis=1, return_index=True)
    order = first[np.lexsort((place[first], query_of[first]))]
    found = places.Places(query_of[order], entry[order], place[order])
    return ranking.of_places(found, query.camids, gallery.camids, ap=ap)


def share(query: Ids, gallery: Ids) -> Bool[np.ndarray, "Q G"]:
    """Whether a query and a gallery entry share an id."""
    shared = np.zeros((len(query.pids), len(gallery.pids)), bool)
    for one in (query.pids, query.others):
        for other in (gallery.pids, gallery.others):
            shared |= (one[:, None] == other) & (one > 0)[:, None]
    return shared & (gallery.pids != places.JUNK_PID)


def are_kept(query: Ids, gallery: Ids) -> Bool[np.ndarray, "Q G"]:
    """Which gallery entries are ranked for which query."""
    same_camera = query.camids[:, None] == gallery.camids
    is_out = share(query, gallery) | _is_distractor(gallery)
    return ~(same_camera & is_out) & (gallery.pids != places.JUNK_PID)


def _is_distractor(gallery: Ids) -> Bool[np.ndarray, "G"]:
    return gallery.pids == 0


def _found(distances, query: Ids, gallery: Ids, rows, is_out):
    """Places by each pair of ids, of some queries."""
    for one in (query.pids[rows], query.others[rows]):
        for other in (gallery.pids, gallery.others):
            # No id is none of the gallery's; junk is -1 there.
            is_junk = is_out | (gallery.pids == places.JUNK_PID)
            wanted = np.where(one > 0, one, -2)
            held = np.where(is_junk, places.JUNK_PID, np.where(other > 0, other, -3))
            part = places.find(distances, wanted, held)
            yield rows[part.query], part.entry, part.place
