"""Embeddings without what is common to all tracklets of a camera."""

import numpy as np
from jaxtyping import Float, Int

FEWEST = 5
"""Tracklets from which on a camera has a mean of its own.

Of n tracklets each is 1/n of the mean: with fewer than five, taking it off would take
off more than a fifth of what is the person's own.
"""


def center_cameras(
    embeddings: Float[np.ndarray, "N D"], camids: Int[np.ndarray, "N"]
) -> Float[np.ndarray, "N D"]:
    """The embeddings less the mean of all N of their camera, in their own dtype.

    Persons are not looked at. Cameras of fewer than `FEWEST` tracklets have the mean of
    all cameras taken off: kept as they are, they would lie apart from the others.
    """
    everything = np.asarray(embeddings, np.float64)
    centered = everything - everything.mean(axis=0)
    for camid, num in zip(*np.unique(camids, return_counts=True), strict=True):
        if num >= FEWEST:
            rows = camids == camid
            centered[rows] = everything[rows] - everything[rows].mean(axis=0)
    return centered.astype(embeddings.dtype)
