"""CMC, mAP and mINP of a ranking, as the field scores it."""

import dataclasses

import jax
import numpy as np
from jaxtyping import Int, Integer, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import places

AP_RULES = ("step", "trapezoid")


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Scores of a set of queries.

    - `cmc` [R]: share of valid queries with a right match among the first r entries.
    - `mean_ap`, `mean_inp`: means of `ap` and `inp` over the valid queries.
    - `ap` [Q]: average precision, nan for a query without a right match.
    - `num_valid`: queries with at least one right match; only they are scored.
    - `inp` [Q]: number of right matches over the rank of the last of them, nan without
      (Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook",
      arXiv:2001.04193).
    - `first_rank` [Q]: rank, from 1, of the first right match, nan without.
    - `found`: the places that all of it was computed from.
    """

    cmc: np.ndarray
    mean_ap: float
    ap: np.ndarray
    num_valid: int
    inp: np.ndarray
    mean_inp: float
    first_rank: np.ndarray
    found: places.Places


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
    """Scores of the gallery ranked by `distances`, smallest first, ties by position.

    For each query, gallery entries of the same person under the same camera, and junk
    (pid -1), are taken out; distractors (pid 0) stay. Queries left without a right
    match count in neither CMC nor mAP. `ap` is "step" (mean precision at the right
    matches, as torchreid and the papers' code) or "trapezoid" (MARS's own script).
    The CMC is constant past the gallery's size.
    Distances count in their own precision: float64 ones are not rounded.
    Raises ValueError for lengths that do not fit, distances that are not finite, an
    empty side, and when no query has a right match.
    """
    labels = as_labels(query_pids, gallery_pids, query_camids, gallery_camids)
    if not isinstance(distances, jax.Array):
        distances = np.asarray(distances)
    check_lengths(distances.shape, labels)
    if max_rank < 1:
        raise ValueError(f"max_rank={max_rank} must be at least 1.")
    query_pids, gallery_pids, query_camids, gallery_camids = labels
    found = places.find(distances, query_pids, gallery_pids)
    return of_places(found, query_camids, gallery_camids, ap=ap, max_rank=max_rank)


def of_places(
    found: places.Places,
    query_camids: Integer[Array, "_"],
    gallery_camids: Integer[Array, "_"],
    *,
    ap: str = "step",
    max_rank: int = 50,
) -> Ranking:
    """Scores by where the entries of the queries' own persons stand.

    Raises ValueError when no query has one under another camera.
    """
    is_right = gallery_camids[found.entry] != query_camids[found.query]
    group = np.where(is_right, found.query, -1)
    scores = score_groups(found, group, len(query_camids), ap)
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
        found,
    )


def kept_entries(q_pid, g_pids, q_camid, g_camids, is_junk):
    """Gallery entries that count for a query: no junk, nor its person by its camera."""
    return ~((g_pids == q_pid) & (g_camids == q_camid)) & ~is_junk


def as_labels(query_pids, gallery_pids, query_camids, gallery_camids):
    """The same as arrays, the camids as codes of one range.

    Raises ValueError for labels that are not whole numbers [N].
    """
    given = {
        "query pids": query_pids,
        "gallery pids": gallery_pids,
        "query camids": query_camids,
        "gallery camids": gallery_camids,
    }
    for name, labels in given.items():
        labels = np.asarray(labels)
        if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
            raise ValueError(
                f"{name} are {labels.dtype} {labels.shape}: expected whole numbers [N]."
            )
    camids = places.same_codes(query_camids, gallery_camids)
    return np.asarray(query_pids), np.asarray(gallery_pids), *camids


@dataclasses.dataclass(frozen=True)
class Scores:
    """Of some groups of right matches: nan for a group without any."""

    ap: np.ndarray
    inp: np.ndarray
    first_rank: np.ndarray


def score_groups(
    found: places.Places, group: Int[np.ndarray, "_"], num_groups: int, ap_rule: str
) -> Scores:
    """Scores of groups of right matches, each group of one query.

    `group` is that of each entry, -1 for one that is neither right nor wrong. Nor do
    the entries of the query's person that are in another group count.
    Raises ValueError for an unknown rule.
    """
    if ap_rule not in AP_RULES:
        raise ValueError(f"ap={ap_rule!r} is unknown; known: {', '.join(AP_RULES)}.")
    nearer_of_person = np.arange(len(group)) - np.searchsorted(found.query, found.query)
    num_wrong = found.place - nearer_of_person
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]
    group, num_wrong = group[order], num_wrong[order]
    num = np.bincount(group, minlength=num_groups)
    end = np.cumsum(num)
    hits = np.arange(1, len(group) + 1) - (end - num)[group]
    rank = num_wrong + hits
    precision = hits / rank
    if ap_rule == "trapezoid":
        # Precision one place earlier, before this match; 1 at the first place.
        before = np.where(rank == 1, 1.0, (hits - 1) / np.maximum(rank - 1, 1))
        precision = (precision + before) / 2
    has_match = num > 0
    ap, inp, first_rank = np.full((3, num_groups), np.nan)
    total = np.bincount(group, precision, num_groups)
    ap[has_match] = total[has_match] / num[has_match]
    inp[has_match] = num[has_match] / rank[end[has_match] - 1]
    first_rank[has_match] = rank[(end - num)[has_match]]
    return Scores(ap, inp, first_rank)


def check_lengths(shape: tuple[int, ...], labels: tuple[np.ndarray, ...]) -> None:
    """Raises ValueError where distances of that shape do not fit the labels."""
    lengths = tuple(map(len, labels))
    if len(shape) != 2 or (lengths[:2], lengths[2:]) != (shape, shape):
        raise ValueError(
            f"distances are {shape} [query, gallery], but there are {lengths[0]} query "
            f"pids, {lengths[2]} query camids, {lengths[1]} gallery pids and "
            f"{lengths[3]} gallery camids."
        )
    if 0 in shape:
        raise ValueError(f"distances are {shape}: an empty query or gallery.")
