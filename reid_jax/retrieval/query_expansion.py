"""Query expansion: an embedding becomes a mean of itself and what is nearest to it.

Labels are not looked at. Sources: average query expansion, Chum et al. 2007, "Total
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
    """Weighted mean of each embedding and its `k` nearest in the gallery.

    The embedding itself has weight 1, a neighbour max(0, c)^`alpha`, c its cosine with
    the embedding; `alpha` 0 is the plain mean. With `is_gallery`, `embeddings` are the
    gallery, and an entry is not its own neighbour. Of a gallery with fewer entries all
    are taken; equal distances keep the order of the gallery.
    """
    num = min(k, len(gallery) - is_gallery)
    if num < 1:
        return embeddings
    expanded = np.empty(embeddings.shape, embeddings.dtype)
    for start in range(0, len(embeddings), _ROWS):
        rows = slice(start, start + _ROWS)
        own = np.arange(start, start + len(embeddings[rows])) if is_gallery else None
        nearest = _nearest(np.array(metric(embeddings[rows], gallery)), num, own)
        mine, others = embeddings[rows].astype(np.float64), gallery[nearest]
        cosines = np.einsum(
            "qd,qkd->qk",
            distances.unit(mine),
            distances.unit(others.reshape(-1, others.shape[-1])).reshape(others.shape),
        )
        weights = (
            np.ones_like(cosines) if alpha == 0 else np.maximum(cosines, 0) ** alpha
        )
        total = mine + np.einsum("qk,qkd->qd", weights, others)
        expanded[rows] = total / (1 + weights.sum(axis=1, keepdims=True))
    return expanded


def _nearest(
    matrix: np.ndarray, k: int, own: Int[np.ndarray, "_"] | None
) -> Int[np.ndarray, "Q K"]:
    if own is not None:
        matrix[np.arange(len(matrix)), own] = np.inf
    return np.argsort(matrix, axis=1, kind="stable")[:, :k]
