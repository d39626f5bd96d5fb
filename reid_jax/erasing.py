"""Random erasing: which box of a training frame is painted over (Zhong et al. 2020)."""

import numpy as np

from reid_jax.augmentation import NO_BOX

_AREA = (0.02, 0.4)  # share of the frame
_ASPECT = 0.3  # height / width, from this to its inverse
_TRIES = 100  # for a box that fits


def draw_box(rng: np.random.Generator, config) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is erased, with probability `augment.erase`.

    Area and aspect ratio are uniform in (0.02, 0.4) of the frame's and (0.3, 1 / 0.3),
    drawn again until the box fits.
    Source: Zhong et al. 2020, Algorithm 1.
    """
    if rng.random() >= config.augment.erase:
        return NO_BOX
    height, width = config.model.frame_size
    for _ in range(_TRIES):
        area = rng.uniform(*_AREA) * height * width
        aspect = rng.uniform(_ASPECT, 1 / _ASPECT)
        h, w = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < h < height and 0 < w < width:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), int(top + h), int(left + w)
    return NO_BOX
