"""What is drawn on the host for each frame: resizing, crop, flip, random erasing.

The pixels themselves are made on the device (`resizing`), and so are changed colours
(`jitter`, `colors`).
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from reid_jax.arrays import Array
from reid_jax.input.jitter import Colors

ENLARGE = 1.125
"""Frames are resized to this multiple before a random crop (published code of paper 1),
unless `config.data.resize` says to what size."""

_AREA = (0.02, 0.4)  # of an erased box, share of the frame
_ASPECT = 0.3  # its height / width, from this to the inverse
_TRIES = 100  # for a box that fits


class Windows(NamedTuple):
    """What is shown of each frame, in pixels, and how its colours are changed."""

    resized: Int[Array, "B T 2"]  # height, width that the frame is resized to
    corner: Int[Array, "B T 2"]  # top, left of the window in it
    flip: Bool[Array, "B T"]
    erased: Int[Array, "B T 4"]  # top, left, bottom, right in the window
    colors: Colors | None = None  # of training clips


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How frames become windows of `frame_size` (height, width).

    A frame is resized to `resize`, or to `frame_size` where that is None, and its
    middle is shown. In training it is shown flipped, from a random corner and with an
    erased box, each with its probability. A random crop without `resize` is of a frame
    `ENLARGE` times as large. With `per_frame` every frame is drawn anew, else once for
    the whole clip.
    """

    frame_size: tuple[int, int]
    resize: tuple[int, int] | None = None
    flip: float = 0.0
    crop: float = 0.0
    erase: float = 0.0
    per_frame: bool = False

    @property
    def whole_size(self) -> tuple[int, int]:
        """The size that a frame without a random crop is resized to."""
        return self.resize or self.frame_size

    @property
    def cropped_size(self) -> tuple[int, int]:
        """The size that a frame is resized to before a random crop."""
        height, width = (round(pixels * ENLARGE) for pixels in self.frame_size)
        return self.resize or (height, width)

    def num_uniform(self, clip_length: int) -> int:
        """Uniform numbers in [0, 1) that `draw` needs for a clip."""
        return 4 * self._draws(clip_length)

    def draw(
        self,
        rng: np.random.Generator,
        uniform: Float[np.ndarray, "B n"],
        clip_length: int,
    ) -> Windows:
        """Windows of a batch of training clips; boxes to erase are drawn from `rng`."""
        draws = self._draws(clip_length)
        flip, crop, shift = np.split(uniform, (draws, 2 * draws), axis=1)
        shift = shift.reshape(*flip.shape, 2)
        boxes = self.draw_erased(rng, len(uniform), clip_length)
        repeats = clip_length // draws
        flip, crop, shift = (v.repeat(repeats, axis=1) for v in (flip, crop, shift))
        return self._windows(flip < self.flip, crop < self.crop, shift, boxes)

    def draw_erased(
        self, rng: np.random.Generator, num_clips: int, clip_length: int
    ) -> Int[np.ndarray, "B T 4"]:
        """The box to erase in each frame of a batch of training clips."""
        draws = self._draws(clip_length)
        boxes = draw_boxes(rng, num_clips * draws, self.erase, self.frame_size)
        boxes = boxes.reshape(num_clips, draws, 4)
        return boxes.repeat(clip_length // draws, axis=1)

    def _draws(self, clip_length: int) -> int:
        """How often something is drawn for a clip."""
        return clip_length if self.per_frame else 1

    def middle(self, num_clips: int, clip_length: int) -> Windows:
        """Windows of a batch of test clips: nothing is drawn."""
        shape = num_clips, clip_length
        no = np.zeros(shape, bool)
        return self._windows(no, no, np.zeros((*shape, 2)), np.zeros((*shape, 4), int))

    def _windows(self, flip, crop, shift, boxes) -> Windows:
        crop = crop[..., None]
        resized = np.where(crop, self.cropped_size, self.whole_size)
        room = resized - self.frame_size
        # 0 .. room, both ends reachable, as a uniform integer would be.
        drawn = (shift * (room + 1)).astype(int)
        corner = np.where(crop, drawn, room // 2)
        return Windows(*(v.astype(np.int32) for v in (resized, corner)), flip, boxes)


def build_augmentation(config) -> Augmentation:
    """The `Augmentation` that a whole config describes."""
    resize, drawn = config.data.resize, config.augment
    return Augmentation(
        tuple(config.model.frame_size),
        resize and tuple(resize),
        flip=drawn.flip,
        crop=drawn.crop,
        erase=drawn.erase,
        per_frame=drawn.per_frame,
    )


def draw_boxes(
    rng: np.random.Generator, num: int, probability: float, frame_size: tuple[int, int]
) -> Int[np.ndarray, "num 4"]:
    """Boxes (top, left, bottom, right) to erase in `num` frames, zeros for none.

    Area and aspect ratio are uniform in (0.02, 0.4) of the frame's and (0.3, 1 / 0.3),
    the first of 100 draws that fits.
    Source: Zhong et al. 2020, Algorithm 1.
    Differs: as in the published code, the corner is drawn where the box fits, and
    where no draw fits nothing is erased.
    """
    height, width = frame_size
    erased = np.flatnonzero(rng.random(num) < probability)
    drawn = len(erased), _TRIES
    area = rng.uniform(*_AREA, drawn) * height * width
    aspect = rng.uniform(_ASPECT, 1 / _ASPECT, drawn)
    h, w = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (h > 0) & (h < height) & (w > 0) & (w < width)
    first = np.arange(len(erased)), fits.argmax(axis=1)
    erased, h, w = (values[fits[first]] for values in (erased, h[first], w[first]))
    h, w = h.astype(int), w.astype(int)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    boxes = np.zeros((num, 4), np.int32)
    boxes[erased] = np.stack([top, left, top + h, left + w], axis=1)
    return boxes
