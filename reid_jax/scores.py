"""Embedded queries and gallery in, rows of a score table out."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from reid_jax.embedding import Embedded
from reid_jax.retrieval import distances, places, ranking

CMC_RANKS = (1, 5, 10, 20)


def protocol_gallery(query: Embedded, gallery: Embedded, protocol: str) -> Embedded:
    """The gallery that `protocol` ranks; MARS's "official" one includes the queries."""
    if protocol != "official":
        return gallery
    both = (
        np.concatenate([getattr(gallery, field.name), getattr(query, field.name)])
        for field in dataclasses.fields(Embedded)
    )
    return Embedded(*both)


def pairwise(
    query: Embedded, gallery: Embedded, metric: str
) -> Float[np.ndarray, "Q G"]:
    """Distances by the metric that `config.eval.metric` names."""
    return np.asarray(distances.METRICS[metric](query.embeddings, gallery.embeddings))


def rank(
    query: Embedded, gallery: Embedded, config, protocol: str
) -> tuple[Embedded, Float[np.ndarray, "Q G"], ranking.Ranking]:
    """The protocol's gallery, the distances to it, and their scores."""
    gallery = protocol_gallery(query, gallery, protocol)
    matrix = pairwise(query, gallery, config.eval.metric)
    result = ranking.evaluate(
        matrix,
        query.pids,
        gallery.pids,
        query.camids,
        gallery.camids,
        ap=config.eval.ap,
    )
    return gallery, matrix, result


def row(
    method: str, config, protocol: str, gallery: Embedded, result: ranking.Ranking
) -> dict:
    """One row of `scores.json`; fractions in [0, 1]."""
    return {
        "method": method,
        "metric": config.eval.metric,
        "rerank": False,
        "protocol": protocol,
        "ap": config.eval.ap,
        "mean_ap": result.mean_ap,
        "cmc": {str(r): float(result.cmc[r - 1]) for r in CMC_RANKS},
        "num_queries": len(result.ap),
        "num_valid": result.num_valid,
        "num_gallery": int(np.sum(gallery.pids != places.JUNK_PID)),
    }


def format_table(rows: Sequence[dict]) -> str:
    """The rows as aligned text, percentages with one decimal."""
    titles = ["method", "metric", "protocol", "AP", "mAP"]
    titles += [f"CMC-{r}" for r in CMC_RANKS] + ["queries", "valid", "gallery"]
    cells = [
        [
            *(row[key] for key in ("method", "metric", "protocol", "ap")),
            *(f"{100 * v:.1f}" for v in (row["mean_ap"], *row["cmc"].values())),
            *(f"{row[key]:,}" for key in ("num_queries", "num_valid", "num_gallery")),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(titles, *cells, strict=True)]
    lines = [titles, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < 4 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
