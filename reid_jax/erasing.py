"""Random erasing: which box of a training frame is painted over (Zhong et al. 2020)."""

import numpy as np
from jaxtyping import Int

_AREA = (0.02, 0.4)  # share of the frame
_ASPECT = 0.3  # height / width, from this to its inverse
_TRIES = 100  # for a box that fits


def draw_boxes(rng: np.random.Generator, num: int, config) -> Int[np.ndarray, "num 4"]:
    """Top, left, bottom, right of what is erased; nothing of a box without area.

    Each is erased with probability `augment.erase`. Area and aspect ratio are uniform
    in (0.02, 0.4) of the frame's and (0.3, 1 / 0.3), the first that fit of 100.
    Source: Zhong et al. 2020, Algorithm 1.
    """
    height, width = config.model.frame_size
    erased = rng.random(num) < config.augment.erase
    area = rng.uniform(*_AREA, (num, _TRIES)) * height * width
    aspect = rng.uniform(_ASPECT, 1 / _ASPECT, (num, _TRIES))
    h, w = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (h > 0) & (h < height) & (w > 0) & (w < width)
    first = np.arange(num), fits.argmax(axis=1)
    drawn = erased & fits[first]
    h, w = (np.where(drawn, side[first], 0).astype(int) for side in (h, w))
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    return np.stack([top, left, top + h, left + w], axis=1)
