"""Scores rankings of tracklets with a second id: another person they may show.

The rules are those of MARS's cleaned labels (Liu et al. 2021, "Video-Based Person Re-ID
without Bells and Whistles", arXiv:2105.10678), as in the authors'
public evaluation: two tracklets match if they share an id, the first or the second.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import match_ranks, ranking


@dataclasses.dataclass(frozen=True)
class Ids:
    """First ids, second ids and camids of N tracklets; all [N].

    `pids` has -1 for junk and 0 for distractors. `others` are the second ids; values
    below 1 mean none.
    """

    pids: np.ndarray
    others: np.ndarray
    camids: np.ndarray


def of(ids: Ids, rows: Sequence[int]) -> Ids:
    """Selects the ids of some tracklets."""
    return Ids(*(getattr(ids, field.name)[rows] for field in dataclasses.fields(Ids)))


def evaluate(
    distances: Real[Array, "Q G"], query: Ids, gallery: Ids, *, ap: str = "step"
) -> ranking.Ranking:
    """Scores a ranking like `ranking.evaluate`, but with second ids.

    For each query, gallery entries under its camera are removed if they share an id
    with it or are distractors.

    Raises:
        ValueError: as `ranking.evaluate`.
    """
    distances = np.asarray(distances)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    ranking.check_lengths(distances.shape, ranking.as_labels(*labels))
    parts = []
    for camid in np.unique(query.camids):
        rows = np.flatnonzero(query.camids == camid)
        is_excluded = _is_distractor(gallery) & (gallery.camids == camid)
        parts += _matches_by_ids(distances[rows], query, gallery, rows, is_excluded)
    query_index, entry, rank = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    # An entry that matches by two ids counts once.
    _, first = np.unique(np.stack([query_index, entry]), axis=1, return_index=True)
    order = first[np.lexsort((rank[first], query_index[first]))]
    matches = match_ranks.MatchRanks(query_index[order], entry[order], rank[order])
    return ranking.score_matches(matches, query.camids, gallery.camids, ap=ap)


def share(query: Ids, gallery: Ids) -> Bool[np.ndarray, "Q G"]:
    """Marks pairs of a query and a gallery entry that share an id."""
    shared = np.zeros((len(query.pids), len(gallery.pids)), bool)
    for query_ids in (query.pids, query.others):
        for gallery_ids in (gallery.pids, gallery.others):
            shared |= (query_ids[:, None] == gallery_ids) & (query_ids > 0)[:, None]
    return shared & (gallery.pids != match_ranks.JUNK_PID)


def are_kept(query: Ids, gallery: Ids) -> Bool[np.ndarray, "Q G"]:
    """Marks the gallery entries that are ranked for each query."""
    same_camera = query.camids[:, None] == gallery.camids
    is_excluded = share(query, gallery) | _is_distractor(gallery)
    return ~(same_camera & is_excluded) & (gallery.pids != match_ranks.JUNK_PID)


def _is_distractor(gallery: Ids) -> Bool[np.ndarray, "G"]:
    return gallery.pids == 0


def _matches_by_ids(distances, query: Ids, gallery: Ids, rows, is_excluded):
    """Yields the ranks of the queries `rows`, for first and second ids."""
    for query_ids in (query.pids[rows], query.others[rows]):
        for gallery_ids in (gallery.pids, gallery.others):
            # -2 and -3 stand for a missing id, so that they never match; -1 is junk.
            is_junk = is_excluded | (gallery.pids == match_ranks.JUNK_PID)
            query_pids = np.where(query_ids > 0, query_ids, -2)
            gallery_pids = np.where(
                is_junk,
                match_ranks.JUNK_PID,
                np.where(gallery_ids > 0, gallery_ids, -3),
            )
            part = match_ranks.find(distances, query_pids, gallery_pids)
            yield rows[part.query], part.entry, part.rank
