"""Random erasing: a box of a training frame is painted over (Zhong et al. 2020)."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int, UInt8

_AREA = (0.02, 0.4)  # share of the frame
_ASPECT = 0.3  # height / width, from this to its inverse
_TRIES = 100  # for a box that fits

NOTHING = (0, 0, 0, 0)


def draw_box(rng: np.random.Generator, config) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of what is erased, with probability `augment.erase`.

    Area and aspect ratio are uniform in (0.02, 0.4) of the frame's and (0.3, 1 / 0.3),
    drawn again until the box fits.
    Source: Zhong et al. 2020, Algorithm 1.
    """
    if rng.random() >= config.augment.erase:
        return NOTHING
    height, width = config.model.frame_size
    for _ in range(_TRIES):
        area = rng.uniform(*_AREA) * height * width
        aspect = rng.uniform(_ASPECT, 1 / _ASPECT)
        h, w = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if 0 < h < height and 0 < w < width:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            return int(top), int(left), int(top + h), int(left + w)
    return NOTHING


def erase(
    frames: UInt8[np.ndarray, "B T H W 3"],
    boxes: Iterable[Int[np.ndarray, "T 4"] | None],
    color: tuple[int, int, int],
) -> None:
    """Paint the boxes of each clip, in place."""
    for clip, of_clip in zip(frames, boxes, strict=True):
        for frame, (top, left, bottom, right) in zip(
            clip, () if of_clip is None else of_clip, strict=False
        ):
            frame[top:bottom, left:right] = color
