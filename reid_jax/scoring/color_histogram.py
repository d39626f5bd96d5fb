"""A baseline without training: colour histograms of six horizontal stripes."""

import itertools

import numpy as np
from jaxtyping import Float32, UInt8

from reid_jax.errors import UserError

NUM_STRIPES = 6
NUM_BINS = 16


def stripe_histogram(
    frames: UInt8[np.ndarray, "N H W 3"],
) -> Float32[np.ndarray, "N D"]:
    """Square roots of the histograms of R, G, B in six stripes, D = 6 * 3 * 16 = 288.

    Stripe s holds the rows s*H//6 to (s+1)*H//6 - 1, over the full width. In each
    stripe and channel the pixels are counted in 16 bins of equal width (value // 16).
    Counts are divided by 18 times the number of pixels in the stripe, so that a row is
    a distribution, and their square root is returned, ordered [stripe, channel, bin].
    Every row has L2 norm 1, and the L2 distance of two rows is sqrt(2) times their
    Hellinger distance: from 0 to sqrt(2).

    A tracklet's embedding is the mean of its frames' rows.

    Raises:
        UserError: frames have fewer than six rows, or no column.
    """
    num, height, width, _ = frames.shape
    if height < NUM_STRIPES or not width:
        raise UserError(
            f"frames of {height}x{width} pixels have no {NUM_STRIPES} stripes; at "
            f"least {NUM_STRIPES}x1 is needed."
        )
    # One bincount per stripe: the code is (frame * 3 + channel) * 16 + bin.
    first_code = np.arange(num * 3, dtype=np.int32).reshape(num, 1, 1, 3) * NUM_BINS
    codes = first_code + frames // (256 // NUM_BINS)
    edges = [s * height // NUM_STRIPES for s in range(NUM_STRIPES + 1)]
    histogram = np.empty((num, NUM_STRIPES, 3 * NUM_BINS), np.float32)
    for s, (top, bottom) in enumerate(itertools.pairwise(edges)):
        counts = np.bincount(codes[:, top:bottom].ravel(), minlength=num * 3 * NUM_BINS)
        num_counted = 3 * NUM_STRIPES * (bottom - top) * width
        histogram[:, s] = np.sqrt(counts.reshape(num, -1) / num_counted)
    return histogram.reshape(num, -1)
