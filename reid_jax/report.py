"""What the pictures of a run show: ranked lists, and attention where it varies."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from reid_jax.embedding import Embedded
from reid_jax.pictures import NUM_RESULTS, RankedRow, Result, Strip
from reid_jax.retrieval import places, ranking
from reid_jax.scores import Scored

NUM_QUERIES = 8


def ranked_rows(
    scored: Scored,
    *,
    read_query: Callable[[int], list[np.ndarray]],
    read_gallery: Callable[[int], list[np.ndarray]],
) -> list[RankedRow]:
    """A few valid queries, evenly spaced, with what was ranked first for each.

    Entries that the scores leave out (same person and camera, junk) are left out.
    `read_query(q)` and `read_gallery(g)` give one to three frames, uint8 [h, w, 3].
    """
    query, gallery = scored.query, scored.gallery
    valid = np.flatnonzero(np.isfinite(scored.ranking.ap))
    shown = valid[
        np.linspace(0, len(valid) - 1, min(NUM_QUERIES, len(valid))).astype(int)
    ]
    rows = []
    for q in shown.tolist():
        kept = ranking.kept_entries(
            query.pids[q],
            gallery.pids,
            query.camids[q],
            gallery.camids,
            gallery.pids == places.JUNK_PID,
        )
        order = np.argsort(scored.distances[q], kind="stable")
        best = order[kept[order]][:NUM_RESULTS].tolist()
        results = [
            Result(
                read_gallery(g),
                _caption(gallery, g),
                float(scored.distances[q, g]),
                bool(gallery.pids[g] == query.pids[q]),
            )
            for g in best
        ]
        rows.append(RankedRow(Strip(read_query(q), _caption(query, q)), results))
    return rows


def _caption(side: Embedded, index: int) -> str:
    return f"person {side.pids[index]} camera {side.camids[index] + 1}"


def uneven_attention(
    batch: dict[str, np.ndarray], attention: Float[np.ndarray, "B T"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips and weights where the frames' weights differ most, each tracklet once."""
    spread = attention.max(axis=1) - attention.min(axis=1)
    shown, seen = [], {-1}
    for clip in np.argsort(-spread, kind="stable"):
        tracklet = int(batch["tracklet"][clip])
        if tracklet not in seen:
            seen.add(tracklet)
            shown.append((batch["clips"][clip], attention[clip]))
    return shown[:NUM_QUERIES]
