"""Selects what pictures and the report show: informative queries, uneven attention."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from reid_jax.arrays import Array
from reid_jax.input.source import Source
from reid_jax.report import strips
from reid_jax.report.strips import NUM_RESULTS, RankedRow, Result, Strip
from reid_jax.retrieval import match_ranks, ranking, shared_ids
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import color_histogram
from reid_jax.scoring.scores import Scored

NUM_QUERIES = 8
_MAX_COMPARED = 300
"""Largest number of queries that are compared by color, for speed."""


class Frames:
    """Reads the first, middle and last frame of queries and gallery tracklets.

    `query(q)` and `gallery(g)` return one to three frames, uint8 [h, w, 3]. A gallery
    that has the queries too, as in the protocol "official", holds them after its other
    entries.
    """

    def __init__(self, source: Source):
        read_frames = source.first_middle_last
        num_gallery = len(source.split("gallery"))
        self.query = lambda q: read_frames("query", q)
        self.gallery = lambda g: (
            read_frames("gallery", g)
            if g < num_gallery
            else read_frames("query", g - num_gallery)
        )


def evenly_spaced(queries: Int[np.ndarray, "_"], num: int) -> Int[np.ndarray, "_"]:
    """At most `num` of the queries, evenly spaced."""
    return queries[np.linspace(0, len(queries) - 1, min(num, len(queries))).astype(int)]


def valid_queries(scored: Scored) -> Int[np.ndarray, "_"]:
    """Queries with a right match in the gallery."""
    return np.flatnonzero(np.isfinite(scored.ranking.ap))


def correct_at_rank_1(scored: Scored) -> Int[np.ndarray, "_"]:
    """Queries whose first result is right."""
    return np.flatnonzero(scored.ranking.first_rank == 1)


def worst_failures(scored: Scored) -> Int[np.ndarray, "_"]:
    """Queries whose first result is wrong, those with the worst rank first."""
    rank = scored.ranking.first_rank
    failures = np.flatnonzero(rank > 1)
    return failures[np.argsort(-rank[failures], kind="stable")]


def most_similar_failures(scored: Scored, frames: Frames) -> Int[np.ndarray, "_"]:
    """Queries whose first result is another person, by rising distance in color.

    Colors are `color_histogram.stripe_histogram`; at most 300 queries are compared.
    """
    failures = evenly_spaced(
        np.flatnonzero(scored.ranking.first_rank > 1), _MAX_COMPARED
    )
    color_distances = [
        np.linalg.norm(
            _colors(frames.query(q))
            - _colors(frames.gallery(_ranked_entries(scored, q)[0]))
        )
        for q in failures.tolist()
    ]
    return failures[np.argsort(color_distances, kind="stable")]


def _colors(frames: list[np.ndarray]) -> np.ndarray:
    """Mean color histogram of some frames."""
    resized = [np.asarray(strips.resize(frame))[None] for frame in frames]
    return np.mean([color_histogram.stripe_histogram(f)[0] for f in resized], axis=0)


def _ranked_entries(scored: Scored, q: int) -> list[int]:
    """Gallery entries of a query, nearest first.

    Entries that do not count in the scores (same person and camera, junk) are left out.
    """
    query, gallery = scored.query, scored.gallery
    if scored.ids is not None:
        is_ranked = shared_ids.are_kept(
            shared_ids.of(scored.ids[0], [q]), scored.ids[1]
        )[0]
        order = np.argsort(scored.distances[q], kind="stable")
        return order[is_ranked[order]].tolist()
    is_ranked = ranking.kept_entries(
        query.pids[q],
        gallery.pids,
        query.camids[q],
        gallery.camids,
        gallery.pids == match_ranks.JUNK_PID,
    )
    order = np.argsort(scored.distances[q], kind="stable")
    return order[is_ranked[order]].tolist()


def ranked_rows(
    scored: Scored, queries: Int[np.ndarray, "_"], frames: Frames
) -> list[RankedRow]:
    """The queries, each with its first ten results and its first right match."""
    query, gallery = scored.query, scored.gallery
    rows = []
    for q in queries.tolist():
        entries = _ranked_entries(scored, q)
        is_right = gallery.pids == query.pids[q]
        if scored.ids is not None:
            query_ids = shared_ids.of(scored.ids[0], [q])
            is_right = shared_ids.share(query_ids, scored.ids[1])[0]
        results = [
            Result(
                frames.gallery(g),
                _caption(gallery, g),
                float(scored.distances[q, g]),
                bool(is_right[g]),
                rank,
            )
            for rank, g in enumerate(entries, start=1)
            if rank <= NUM_RESULTS or rank == scored.ranking.first_rank[q]
        ]
        rows.append(RankedRow(Strip(frames.query(q), _caption(query, q)), results))
    return rows


def _caption(side: Embedded, index: int) -> str:
    """The caption of a tracklet; cameras count from 1."""
    return f"person {side.pids[index]} camera {side.camids[index] + 1}"


def uneven_attention(
    batch: dict[str, np.ndarray], attention: Float[np.ndarray, "B T"]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips with the largest differences between their frames' weights.

    Each tracklet occurs once; at most `NUM_QUERIES` pairs of frames and weights.
    """
    spread = attention.max(axis=1) - attention.min(axis=1)
    chosen, tracklets = [], {-1}
    for clip in np.argsort(-spread, kind="stable"):
        tracklet = int(batch["tracklet"][clip])
        if tracklet not in tracklets:
            tracklets.add(tracklet)
            chosen.append((batch["clips"][clip], attention[clip]))
    return chosen[:NUM_QUERIES]


def first_layers(
    model: nnx.Module, clip: Float[Array, "1 T H W 3"]
) -> dict[str, Float[np.ndarray, "t h w C"]]:
    """Responses of the trunk's first two stages to a normalised clip, by stage."""
    graphdef, state = nnx.split(model.base)
    is_2d = model.base.dims == 2

    @jax.jit
    def first_two(state, clip):
        trunk = nnx.merge(graphdef, state)
        stages = trunk.stages(clip[0] if is_2d else clip, train=False)
        maps = (jnp.asarray(next(stages), jnp.float32) for _ in range(2))
        return [response if is_2d else response[0] for response in maps]

    responses = zip(model.base.stage_names, first_two(state, clip), strict=False)
    return {name: np.asarray(response) for name, response in responses}
