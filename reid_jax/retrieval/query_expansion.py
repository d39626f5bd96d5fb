"""Query expansion: replaces an embedding by a mean of it and its nearest entries.

Labels are not used. Sources: average query expansion, Chum et al. 2007, "Total
Recall", Sec. 3; weights by similarity (α-QE), Radenović et al. 2018, "Fine-tuning CNN
image retrieval with no human annotation", Sec. 5.3; the same for the gallery
(database-side augmentation), Arandjelović & Zisserman 2012, Sec. 4.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from reid_jax.retrieval import distances

_ROWS = 1024

Distances = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(queries, gallery) → distances [Q, G]."""


def expand(
    embeddings: Float[np.ndarray, "Q D"],
    gallery: Float[np.ndarray, "G D"],
    metric: Distances,
    *,
    k: int,
    alpha: float | int,
    is_gallery: bool = False,
) -> Float[np.ndarray, "Q D"]:
    """Computes the weighted mean of each embedding and its `k` nearest gallery entries.

    Args:
        embeddings: the embeddings to expand. Each has weight 1 in its mean.
        gallery: the gallery embeddings. Equal distances keep their order.
        metric: computes the distances.
        k: number of neighbours; all entries if the gallery has fewer.
        alpha: a neighbour has weight max(0, c)^`alpha`, where c is its cosine with the
            embedding. 0: all weights are 1.
        is_gallery: whether `embeddings` are the gallery; an entry is then not its own
            neighbour.
    """
    num = min(k, len(gallery) - is_gallery)
    if num < 1:
        return embeddings
    expanded = np.empty(embeddings.shape, embeddings.dtype)
    for start in range(0, len(embeddings), _ROWS):
        rows = slice(start, start + _ROWS)
        positions = (
            np.arange(start, start + len(embeddings[rows])) if is_gallery else None
        )
        nearest = _nearest(np.array(metric(embeddings[rows], gallery)), num, positions)
        rows_float64, neighbours = embeddings[rows].astype(np.float64), gallery[nearest]
        cosines = np.einsum(
            "qd,qkd->qk",
            distances.unit(rows_float64),
            distances.unit(neighbours.reshape(-1, neighbours.shape[-1])).reshape(
                neighbours.shape
            ),
        )
        weights = (
            np.ones_like(cosines) if alpha == 0 else np.maximum(cosines, 0) ** alpha
        )
        total = rows_float64 + np.einsum("qk,qkd->qd", weights, neighbours)
        expanded[rows] = total / (1 + weights.sum(axis=1, keepdims=True))
    return expanded


def _nearest(
    matrix: np.ndarray, k: int, positions: Int[np.ndarray, "_"] | None
) -> Int[np.ndarray, "Q K"]:
    if positions is not None:
        matrix[np.arange(len(matrix)), positions] = np.inf
    return np.argsort(matrix, axis=1, kind="stable")[:, :k]
