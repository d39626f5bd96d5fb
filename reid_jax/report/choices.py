"""What pictures and report of a run show: queries that tell, attention that varies."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from reid_jax.arrays import Array
from reid_jax.input.source import Source
from reid_jax.report import strips
from reid_jax.report.strips import NUM_RESULTS, RankedRow, Result, Strip
from reid_jax.retrieval import places, ranking, shared_ids
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import color_histogram
from reid_jax.scoring.scores import Scored

NUM_QUERIES = 8
_MOST_CONFUSED = 300  # queries whose first results are compared by color


class Frames:
    """First, middle and last frame of queries and of the gallery of any protocol.

    `query(q)` and `gallery(g)` are one to three frames, uint8 [h, w, 3].
    """

    def __init__(self, source: Source):
        read = source.first_middle_last
        num_gallery = len(source.split("gallery"))
        self.query = lambda q: read("query", q)
        self.gallery = lambda g: (
            read("gallery", g) if g < num_gallery else read("query", g - num_gallery)
        )


def evenly(queries: Int[np.ndarray, "_"], num: int) -> Int[np.ndarray, "_"]:
    """At most `num` of them, evenly spaced."""
    return queries[np.linspace(0, len(queries) - 1, min(num, len(queries))).astype(int)]


def valid_queries(scored: Scored) -> Int[np.ndarray, "_"]:
    """Those that the gallery has a right match for."""
    return np.flatnonzero(np.isfinite(scored.ranking.ap))


def found_first(scored: Scored) -> Int[np.ndarray, "_"]:
    """Queries whose first result is right."""
    return np.flatnonzero(scored.ranking.first_rank == 1)


def found_last(scored: Scored) -> Int[np.ndarray, "_"]:
    """Queries whose first result is wrong, the one of the worst rank first."""
    rank = scored.ranking.first_rank
    wrong = np.flatnonzero(rank > 1)
    return wrong[np.argsort(-rank[wrong], kind="stable")]


def same_clothes(scored: Scored, frames: Frames) -> Int[np.ndarray, "_"]:
    """Queries whose first result is another person, the one most alike in color first.

    Colors are those of `stripe_histogram`; at most 300 queries are looked at.
    """
    wrong = evenly(np.flatnonzero(scored.ranking.first_rank > 1), _MOST_CONFUSED)
    apart = [
        np.linalg.norm(
            _colors(frames.query(q)) - _colors(frames.gallery(_ranked(scored, q)[0]))
        )
        for q in wrong.tolist()
    ]
    return wrong[np.argsort(apart, kind="stable")]


def _colors(frames: list[np.ndarray]) -> np.ndarray:
    alike = [np.asarray(strips.resize(frame))[None] for frame in frames]
    return np.mean([color_histogram.stripe_histogram(f)[0] for f in alike], axis=0)


def _ranked(scored: Scored, q: int) -> list[int]:
    """What the gallery holds for a query, nearest first.

    Entries that the scores leave out (same person and camera, junk) are left out.
    """
    query, gallery = scored.query, scored.gallery
    if scored.ids is not None:
        kept = shared_ids.are_kept(shared_ids.of(scored.ids[0], [q]), scored.ids[1])[0]
        order = np.argsort(scored.distances[q], kind="stable")
        return order[kept[order]].tolist()
    kept = ranking.kept_entries(
        query.pids[q],
        gallery.pids,
        query.camids[q],
        gallery.camids,
        gallery.pids == places.JUNK_PID,
    )
    order = np.argsort(scored.distances[q], kind="stable")
    return order[kept[order]].tolist()


def ranked_rows(
    scored: Scored, queries: Int[np.ndarray, "_"], frames: Frames
) -> list[RankedRow]:
    """The queries, each with what was ranked first for it and its first right match."""
    query, gallery = scored.query, scored.gallery
    rows = []
    for q in queries.tolist():
        ranked = _ranked(scored, q)
        is_right = gallery.pids == query.pids[q]
        if scored.ids is not None:
            of_query = shared_ids.of(scored.ids[0], [q])
            is_right = shared_ids.share(of_query, scored.ids[1])[0]
        results = [
            Result(
                frames.gallery(g),
                _caption(gallery, g),
                float(scored.distances[q, g]),
                bool(is_right[g]),
                rank,
            )
            for rank, g in enumerate(ranked, start=1)
            if rank <= NUM_RESULTS or rank == scored.ranking.first_rank[q]
        ]
        rows.append(RankedRow(Strip(frames.query(q), _caption(query, q)), results))
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


def first_layers(
    model: nnx.Module, clip: Float[Array, "1 T H W 3"]
) -> dict[str, Float[np.ndarray, "t h w C"]]:
    """What the trunk's first two stages, pooled, answer to a normalised clip."""
    graphdef, state = nnx.split(model.base)
    is_2d = model.base.dims == 2

    @jax.jit
    def first_two(state, clip):
        trunk = nnx.merge(graphdef, state)
        stages = trunk.stages(clip[0] if is_2d else clip, train=False)
        maps = (jnp.asarray(next(stages), jnp.float32) for _ in range(2))
        return [answer if is_2d else answer[0] for answer in maps]

    named = zip(model.base.stage_names, first_two(state, clip), strict=False)
    return {name: np.asarray(answer) for name, answer in named}
