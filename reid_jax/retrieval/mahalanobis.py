"""Distances (q - g) U M Uᵀ (q - g)ᵀ of a learnt projection U and metric M."""

import numpy as np
from jaxtyping import Float

from reid_jax.arrays import Array


def distances(
    query: Float[Array, "Q _"],
    gallery: Float[Array, "G _"],
    projection: Float[np.ndarray, "D N"],
    metric: Float[np.ndarray, "N N"],
) -> Float[np.ndarray, "Q G"]:
    """In float64. Squared, and below 0 where `metric` is not positive semi-definite.

    Raises ValueError for an empty side, values that are not finite, and dimensions that
    are not the projection's.
    """
    query, gallery = (np.asarray(side, np.float64) for side in (query, gallery))
    for name, side in (("query", query), ("gallery", gallery)):
        check_rows(name, side)
        if side.shape[1] != len(projection):
            raise ValueError(
                f"{name} embeddings have {side.shape[1]} dimensions; the metric was "
                f"fitted to {len(projection)}."
            )
    # q M qᵀ + g M gᵀ - 2 q M gᵀ. A common shift changes no difference, and keeps the
    # three terms small.
    centre = gallery.mean(axis=0)
    query, gallery = (query - centre) @ projection, (gallery - centre) @ projection
    of_query = query @ metric
    squared = -2 * of_query @ gallery.T
    squared += np.einsum("qr,qr->q", of_query, query)[:, None]
    squared += np.einsum("gr,gr->g", gallery @ metric, gallery)
    return squared


def check_rows(name: str, rows: np.ndarray) -> None:
    """ValueError where there are no rows, or one holds a value that is not finite."""
    if not len(rows):
        raise ValueError(f"There are no {name} embeddings.")
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} {name} embeddings hold values that are not finite, the first "
            f"at {bad[0]}."
        )
