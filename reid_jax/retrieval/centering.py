"""Removes what the embeddings of all tracklets of a camera have in common."""

import numpy as np
from jaxtyping import Float, Int

FEWEST = 5
"""Smallest number of tracklets for which a camera's mean is used.

Each of n tracklets contributes 1/n of the mean. With fewer than five, subtracting the
mean would remove more than a fifth of a tracklet's embedding.
"""


def center_cameras(
    embeddings: Float[np.ndarray, "N D"], camids: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "N D"]:
    """Subtracts from each embedding the mean of its camera; the dtype stays.

    Person ids are not used. For cameras with fewer than `FEWEST` tracklets, the mean of
    all N embeddings is subtracted. Without that, their embeddings would lie apart from
    the others.
    """
    values = np.asarray(embeddings, np.float64)
    centered = values - values.mean(axis=0)
    for camid, num in zip(*np.unique(camids, return_counts=True), strict=True):
        if num >= FEWEST:
            rows = camids == camid
            centered[rows] = values[rows] - values[rows].mean(axis=0)
    return centered.astype(embeddings.dtype)
