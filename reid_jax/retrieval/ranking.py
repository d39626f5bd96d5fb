"""CMC and mAP of a ranking, as the field scores it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Integer

from reid_jax.arrays import Array

JUNK_PID = -1
AP_RULES = ("step", "trapezoid")
_BLOCK = 256  # queries ranked at a time: bounds the memory of the sorted rows


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Scores of a set of queries.

    - `cmc` [R]: share of valid queries with a right match among the first r entries.
    - `mean_ap`: mean of `ap` over the valid queries.
    - `ap` [Q]: average precision, nan for a query without a right match.
    - `num_valid`: queries with at least one right match; only they are scored.
    """

    cmc: np.ndarray
    mean_ap: float
    ap: np.ndarray
    num_valid: int


def evaluate(
    distances: Float[Array, "Q G"],
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
    Raises ValueError for lengths that do not fit, distances that are not finite, an
    empty side, and when no query has a right match.
    """
    if not isinstance(distances, jax.Array):
        distances = np.asarray(distances)
    labels = [query_pids, gallery_pids, query_camids, gallery_camids]
    q_pids, g_pids, q_camids, g_camids = (np.asarray(x) for x in labels)
    _check(distances, q_pids, g_pids, q_camids, g_camids, ap)
    num_queries = len(q_pids)
    is_junk = g_pids == JUNK_PID
    # Any integers, of whatever width, become small ones: JAX would wrap them.
    q_pids, g_pids = _renumber(q_pids, g_pids)
    q_camids, g_camids = _renumber(q_camids, g_camids)
    aps, first_ranks = [], []
    for start in range(0, num_queries, _BLOCK):
        rows = slice(start, start + _BLOCK)
        block_ap, block_first = _score_block(
            _order(distances[rows]),
            q_pids[rows],
            g_pids,
            q_camids[rows],
            g_camids,
            is_junk,
            ap_rule=ap,
        )
        aps.append(np.asarray(block_ap))
        first_ranks.append(np.asarray(block_first))
    ap_of_query = np.concatenate(aps).astype(np.float64)
    first = np.concatenate(first_ranks)
    valid = np.isfinite(ap_of_query)
    if not valid.any():
        raise ValueError(
            f"None of the {num_queries} queries has a right match in the gallery: the "
            "same pid under another camera. Are pids and camids in the right order?"
        )
    ranks = np.arange(1, max_rank + 1)
    cmc = (first[valid][:, None] <= ranks).mean(axis=0)
    return Ranking(cmc, float(ap_of_query[valid].mean()), ap_of_query, int(valid.sum()))


def kept_entries(q_pid, g_pids, q_camid, g_camids, is_junk):
    """Gallery entries that count for a query: no junk, nor its person by its camera."""
    return ~((g_pids == q_pid) & (g_camids == q_camid)) & ~is_junk


def _renumber(query: np.ndarray, gallery: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    _, codes = np.unique(np.concatenate([query, gallery]), return_inverse=True)
    codes = codes.astype(np.int32)
    return codes[: len(query)], codes[len(query) :]


def _order(distances: Float[Array, "Q G"]) -> Int[Array, "Q G"]:
    """Gallery entries of each row, nearest first, ties by position."""
    if distances.dtype == np.float64:  # JAX would round them, and so make ties
        return np.argsort(distances, axis=1, kind="stable")
    return jnp.argsort(distances, axis=1, stable=True)


@functools.partial(jax.jit, static_argnames="ap_rule")
def _score_block(
    order, q_pids, g_pids, q_camids, g_camids, is_junk, *, ap_rule: str
) -> tuple[Float[Array, "Q"], Int[Array, "Q"]]:
    """AP and rank (from 1) of the first right match of each query of a block."""
    same_pid = q_pids[:, None] == g_pids[None, :]
    kept = kept_entries(q_pids[:, None], g_pids, q_camids[:, None], g_camids, is_junk)
    kept = jnp.take_along_axis(kept, order, axis=1)
    match = jnp.take_along_axis(same_pid, order, axis=1) & kept
    rank = jnp.cumsum(kept, axis=1)  # among the entries kept, from 1
    hits = jnp.cumsum(match, axis=1)
    precision = hits / jnp.maximum(rank, 1)
    if ap_rule == "trapezoid":
        # Precision one place earlier, before this match; 1 at the first place.
        before = jnp.where(rank == 1, 1.0, (hits - 1) / jnp.maximum(rank - 1, 1))
        precision = (precision + before) / 2
    num_matches = hits[:, -1]
    ap = jnp.sum(jnp.where(match, precision, 0.0), axis=1) / num_matches
    first = jnp.min(jnp.where(match, rank, jnp.iinfo(jnp.int32).max), axis=1)
    return jnp.where(num_matches > 0, ap, jnp.nan), first


def _check(distances, q_pids, g_pids, q_camids, g_camids, ap: str) -> None:
    if ap not in AP_RULES:
        raise ValueError(f"ap={ap!r} is unknown; known: {', '.join(AP_RULES)}.")
    lengths = (len(q_pids), len(g_pids), len(q_camids), len(g_camids))
    if distances.ndim != 2 or lengths != distances.shape * 2:
        raise ValueError(
            f"distances are {distances.shape} [query, gallery], but there are "
            f"{lengths[0]} query pids, {lengths[2]} query camids, {lengths[1]} gallery "
            f"pids and {lengths[3]} gallery camids."
        )
    if 0 in distances.shape:
        raise ValueError(f"distances are {distances.shape}: an empty query or gallery.")
    if not np.isfinite(distances).all():
        bad = np.argwhere(~np.isfinite(distances))
        raise ValueError(
            f"{len(bad)} distances are not finite, the first for query {bad[0][0]} and "
            f"gallery entry {bad[0][1]}."
        )
