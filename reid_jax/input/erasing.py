"""Random erasing: which box of a training frame is painted over (Zhong et al. 2020)."""

import numpy as np
from jaxtyping import Int

_AREA = (0.02, 0.4)  # share of the frame
_ASPECT = 0.3  # height / width, from this to its inverse
_TRIES = 100  # for a box that fits


def draw_boxes(rng: np.random.Generator, num: int, config) -> Int[np.ndarray, "num 4"]:
    """Top, left, bottom, right of what is erased; zeros where nothing is.

    Each is erased with probability `augment.erase`. Area and aspect ratio are uniform
    in (0.02, 0.4) of the frame's and (0.3, 1 / 0.3), the first of 100 draws that fits.
    Source: Zhong et al. 2020, Algorithm 1.
    Differs: as in the published code, the corner is drawn where the box fits, and
    where no draw fits nothing is erased.
    """
    height, width = config.model.frame_size
    erased = np.flatnonzero(rng.random(num) < config.augment.erase)
    drawn = len(erased), _TRIES
    area = rng.uniform(*_AREA, drawn) * height * width
    aspect = rng.uniform(_ASPECT, 1 / _ASPECT, drawn)
    h, w = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (h > 0) & (h < height) & (w > 0) & (w < width)
    first = np.arange(len(erased)), fits.argmax(axis=1)
    erased, h, w = (values[fits[first]] for values in (erased, h[first], w[first]))
    h, w = h.astype(int), w.astype(int)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    boxes = np.zeros((num, 4), int)
    boxes[erased] = np.stack([top, left, top + h, left + w], axis=1)
    return boxes
