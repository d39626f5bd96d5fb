"""Computes (q - g) U M Uᵀ (q - g)ᵀ for a learnt projection U and metric M."""

import numpy as np
from jaxtyping import Float

from reid_jax.arrays import Array


def distances(
    query: Float[Array, "Q _"],
    gallery: Float[Array, "G _"],
    projection: Float[np.ndarray, "D N"],
    metric: Float[np.ndarray, "N N"],
) -> Float[np.ndarray, "Q G"]:
    """Computes squared distances in float64.

    They can be negative if `metric` is not positive semi-definite.

    Raises:
        ValueError: an empty side, values that are not finite, or embeddings of another
            dimension than the projection.
    """
    query, gallery = (np.asarray(side, np.float64) for side in (query, gallery))
    for name, side in (("query", query), ("gallery", gallery)):
        check_rows(name, side)
        if side.shape[1] != len(projection):
            raise ValueError(
                f"{name} embeddings have {side.shape[1]} dimensions; the metric was "
                f"fitted to {len(projection)}."
            )
    # The distance is q M qᵀ + g M gᵀ - 2 q M gᵀ. A common shift changes no difference;
    # centring keeps the three terms small.
    centre = gallery.mean(axis=0)
    query, gallery = (query - centre) @ projection, (gallery - centre) @ projection
    query_metric = query @ metric
    squared = -2 * query_metric @ gallery.T
    squared += np.einsum("qr,qr->q", query_metric, query)[:, None]
    squared += np.einsum("gr,gr->g", gallery @ metric, gallery)
    return squared


def check_rows(name: str, rows: np.ndarray) -> None:
    """Raises a ValueError if there are no rows, or a value is not finite."""
    if not len(rows):
        raise ValueError(f"There are no {name} embeddings.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} {name} embeddings hold values that are not finite, the first "
            f"at {bad[0]}."
        )
