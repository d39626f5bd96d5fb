"""Computes CMC, mAP and mINP of a ranking, with the rules of the field."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Int, Integer, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import match_ranks

AP_RULES = ("step", "trapezoid")


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Scores of a set of queries.

    - `cmc` [R]: share of valid queries with a right match among the first r entries.
    - `mean_ap`, `mean_inp`: means of `ap` and `inp` over the valid queries, in [0, 1].
    - `ap` [Q]: average precision; nan for a query without a right match.
    - `num_valid`: number of queries with a right match; only they are scored.
    - `inp` [Q]: number of right matches divided by the rank of the last one; nan for a
      query without a right match (Ye et al., "Deep Learning for Person
      Re-identification: A Survey and Outlook", arXiv:2001.04193).
    - `first_rank` [Q]: rank, from 1, of the first right match; nan without a match.
    - `matches`: ranks of the entries with the queries' pids, from which the scores
      were computed.
    """

    cmc: np.ndarray
    mean_ap: float
    ap: np.ndarray
    num_valid: int
    inp: np.ndarray
    mean_inp: float
    first_rank: np.ndarray
    matches: match_ranks.MatchRanks


def evaluate(
    distances: Real[Array, "Q G"],
    query_pids: Integer[Array, "_"],
    gallery_pids: Integer[Array, "_"],
    query_camids: Integer[Array, "_"],
    gallery_camids: Integer[Array, "_"],
    *,
    ap: str = "step",
    max_rank: int = 50,
) -> Ranking:
    """Scores the gallery ranked by `distances`, smallest first; ties keep its order.

    For each query, gallery entries of the same person under the same camera, and junk
    (pid -1), are removed. Distractors (pid 0) stay. Queries without a remaining right
    match count in neither CMC nor mAP.

    Args:
        distances: compared without rounding, in float64 too.
        query_pids: person ids of the queries.
        gallery_pids: person ids of the gallery.
        query_camids: camera ids of the queries.
        gallery_camids: camera ids of the gallery.
        ap: rule of the average precision. "step": mean precision at the right matches,
            as in torchreid and the papers' code. "trapezoid": as in MARS's script.
        max_rank: length R of the CMC, which is constant past the gallery's size.

    Raises:
        ValueError: lengths that do not fit, distances that are not finite, an empty
            side, or no query with a right match.
    """
    labels = as_labels(query_pids, gallery_pids, query_camids, gallery_camids)
    if not isinstance(distances, jax.Array):
        distances = np.asarray(distances)
    check_lengths(distances.shape, labels)
    if max_rank < 1:
        raise ValueError(f"max_rank={max_rank} must be at least 1.")
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    matches = match_ranks.find(distances, query_pids, gallery_pids)
    return score_matches(
        matches, query_camids, gallery_camids, ap=ap, max_rank=max_rank
    )


def score_matches(
    matches: match_ranks.MatchRanks,
    query_camids: Integer[Array, "_"],
    gallery_camids: Integer[Array, "_"],
    *,
    ap: str = "step",
    max_rank: int = 50,
) -> Ranking:
    """Computes the scores from the ranks of the entries with the queries' pids.

    Raises:
        ValueError: no query has a right match under another camera.
    """
    is_right = gallery_camids[matches.entry] != query_camids[matches.query]
    group = np.where(is_right, matches.query, -1)
    scores = score_groups(matches, group, len(query_camids), ap)
    valid = np.isfinite(scores.ap)
    if not valid.any():
        raise ValueError(
            f"None of the {len(valid)} queries has a right match in the gallery: the "
            "same pid under another camera. Are pids and camids in the right order?"
        )
    ranks = np.arange(1, max_rank + 1)
    return Ranking(
        (scores.first_rank[valid][:, None] <= ranks).mean(axis=0),
        float(scores.ap[valid].mean()),
        scores.ap,
        int(valid.sum()),
        scores.inp,
        float(scores.inp[valid].mean()),
        scores.first_rank,
        matches,
    )


def kept_entries(q_pid, g_pids, q_camid, g_camids, is_junk):
    """Marks the gallery entries that are ranked for a query.

    Excluded are junk, and entries of its person under its camera.
    """
    return ~((g_pids == q_pid) & (g_camids == q_camid)) & ~is_junk


def as_labels(query_pids, gallery_pids, query_camids, gallery_camids):
    """Returns the labels as arrays, and the camids as codes 0, 1, ….

    Raises:
        ValueError: labels that are not whole numbers [N].
    """
    labels_by_name = {
        "query pids": query_pids,
        "gallery pids": gallery_pids,
        "query camids": query_camids,
        "gallery camids": gallery_camids,
    }
    for name, labels in labels_by_name.items():
        labels = np.asarray(labels)
        if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
            raise ValueError(
                f"{name} are {labels.dtype} {labels.shape}: expected whole numbers [N]."
            )
    camids = match_ranks.same_codes(query_camids, gallery_camids)
    return np.asarray(query_pids), np.asarray(gallery_pids), *camids


@dataclasses.dataclass(frozen=True)
class Scores:
    """Scores of groups of right matches; nan for a group without a match."""

    ap: np.ndarray
    inp: np.ndarray
    first_rank: np.ndarray


def score_groups(
    matches: match_ranks.MatchRanks,
    group: Int[np.ndarray, "_"],
    num_groups: int,
    ap_rule: str,
) -> Scores:
    """Scores groups of right matches; all matches of a group belong to one query.

    Args:
        matches: the ranks of the entries with the queries' pids.
        group: the group of each of these entries; -1: it counts neither as right nor as
            wrong. Entries in other groups of the same query do not count either.
        num_groups: number of groups.
        ap_rule: one of `AP_RULES`.

    Raises:
        ValueError: an unknown rule.
    """
    if ap_rule not in AP_RULES:
        raise ValueError(f"ap={ap_rule!r} is unknown; known: {', '.join(AP_RULES)}.")
    nearer_of_person = np.arange(len(group)) - np.searchsorted(
        matches.query, matches.query
    )
    num_wrong = matches.rank - nearer_of_person
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]
    group, num_wrong = group[order], num_wrong[order]
    num = np.bincount(group, minlength=num_groups)
    end = np.cumsum(num)
    hits = np.arange(1, len(group) + 1) - (end - num)[group]
    rank = num_wrong + hits
    precision = hits / rank
    if ap_rule == "trapezoid":
        # Precision one rank before this match; 1 at the first rank.
        precision_before = np.where(
            rank == 1, 1.0, (hits - 1) / np.maximum(rank - 1, 1)
        )
        precision = (precision + precision_before) / 2
    has_match = num > 0
    ap, inp, first_rank = np.full((3, num_groups), np.nan)
    total = np.bincount(group, precision, num_groups)
    ap[has_match] = total[has_match] / num[has_match]
    inp[has_match] = num[has_match] / rank[end[has_match] - 1]
    first_rank[has_match] = rank[(end - num)[has_match]]
    return Scores(ap, inp, first_rank)


def check_lengths(shape: tuple[int, ...], labels: tuple[np.ndarray, ...]) -> None:
    """Raises a ValueError if distances of that shape do not fit the labels."""
    lengths = tuple(map(len, labels))
    if len(shape) != 2 or (lengths[:2], lengths[2:]) != (shape, shape):
        raise ValueError(
            f"distances are {shape} [query, gallery], but there are {lengths[0]} query "
            f"pids, {lengths[2]} query camids, {lengths[1]} gallery pids and "
            f"{lengths[3]} gallery camids."
        )
    if 0 in shape:
        raise ValueError(f"distances are {shape}: an empty query or gallery.")
