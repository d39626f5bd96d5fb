"""Draws each frame's resizing, crop, flip and random erasing, on the host.

The device computes the pixels (`resizing`). Changes of colours are drawn by `jitter`
and applied by `colors`.
"""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from reid_jax.arrays import Array
from reid_jax.input.jitter import Colors

ENLARGE = 1.125
"""Multiple of the frame size that frames are resized to before a random crop (published
code of paper 1), unless `config.data.resize` is set."""

_AREA = (0.02, 0.4)  # range of an erased box's area, as a share of the frame
_ASPECT = 0.3  # smallest height / width of the box; the largest is its inverse
_TRIES = 100  # draws of a box, of which the first that fits is taken


class Windows(NamedTuple):
    """The window of each frame that is shown, in pixels, and changes of its colours."""

    resized: Int[Array, "B T 2"]  # height, width that the frame is resized to
    corner: Int[Array, "B T 2"]  # top, left of the window in the resized frame
    flip: Bool[Array, "B T"]
    erased: Int[Array, "B T 4"]  # top, left, bottom, right in the window
    colors: Colors | None = None  # training clips only


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Parameters of the augmentation; all sizes are (height, width) in pixels.

    Without augmentation, a frame is resized to `resize` (default: `frame_size`) and its
    middle `frame_size` is shown. In training each of these happens with its
    probability: `flip`, `crop` (a window at a random place) and `erase` (a random box
    is erased). For a random crop without `resize`, the frame is resized to `ENLARGE`
    times `frame_size`. With `per_frame` every frame draws anew, else the whole clip
    once.
    """

    frame_size: tuple[int, int]
    resize: tuple[int, int] | None = None
    flip: float = 0.0
    crop: float = 0.0
    erase: float = 0.0
    per_frame: bool = False

    @property
    def whole_size(self) -> tuple[int, int]:
        """Size that a frame without a random crop is resized to."""
        return self.resize or self.frame_size

    @property
    def cropped_size(self) -> tuple[int, int]:
        """Size that a frame is resized to before a random crop."""
        height, width = (round(pixels * ENLARGE) for pixels in self.frame_size)
        return self.resize or (height, width)

    def num_uniform(self, clip_length: int) -> int:
        """Number of uniform numbers in [0, 1) that `draw` needs for a clip."""
        return 4 * self._num_draws(clip_length)

    def draw(
        self,
        rng: np.random.Generator,
        uniform: Float[np.ndarray, "B n"],
        clip_length: int,
    ) -> Windows:
        """Draws the windows of a batch of training clips.

        Args:
            rng: draws the boxes to erase.
            uniform: `num_uniform` numbers in [0, 1) for each clip.
            clip_length: frames per clip, T.
        """
        draws = self._num_draws(clip_length)
        flip, crop = uniform[:, :draws], uniform[:, draws : 2 * draws]
        shift = uniform[:, 2 * draws :].reshape(-1, draws, 2)
        boxes = self.draw_erased(rng, len(uniform), clip_length)
        repeats = clip_length // draws
        flip, crop, shift = (v.repeat(repeats, axis=1) for v in (flip, crop, shift))
        return self._windows(flip < self.flip, crop < self.crop, shift, boxes)

    def draw_erased(
        self, rng: np.random.Generator, num_clips: int, clip_length: int
    ) -> Int[np.ndarray, "B T 4"]:
        """Draws the box to erase in each frame of a batch of training clips."""
        draws = self._num_draws(clip_length)
        boxes = draw_boxes(rng, num_clips * draws, self.erase, self.frame_size)
        boxes = boxes.reshape(num_clips, draws, 4)
        return boxes.repeat(clip_length // draws, axis=1)

    def _num_draws(self, clip_length: int) -> int:
        """Number of draws per clip: one, or one per frame."""
        return clip_length if self.per_frame else 1

    def middle(self, num_clips: int, clip_length: int) -> Windows:
        """Windows of a batch of test clips: the middle, without randomness."""
        shape = num_clips, clip_length
        off = np.zeros(shape, bool)
        shift, boxes = np.zeros((*shape, 2)), np.zeros((*shape, 4), int)
        return self._windows(off, off, shift, boxes)

    def _windows(self, flip, crop, shift, boxes) -> Windows:
        crop = crop[..., None]
        resized = np.where(crop, self.cropped_size, self.whole_size)
        room = resized - self.frame_size
        # Uniform in 0 .. room, both ends included.
        random_corner = (shift * (room + 1)).astype(int)
        corner = np.where(crop, random_corner, room // 2)
        return Windows(*(v.astype(np.int32) for v in (resized, corner)), flip, boxes)


def build_augmentation(config) -> Augmentation:
    """Builds the `Augmentation` of a run's config."""
    resize, probabilities = config.data.resize, config.augment
    return Augmentation(
        tuple(config.model.frame_size),
        resize and tuple(resize),
        flip=probabilities.flip,
        crop=probabilities.crop,
        erase=probabilities.erase,
        per_frame=probabilities.per_frame,
    )


def draw_boxes(
    rng: np.random.Generator, num: int, probability: float, frame_size: tuple[int, int]
) -> Int[np.ndarray, "num 4"]:
    """Draws boxes (top, left, bottom, right) to erase in `num` frames; zeros: no box.

    The area is uniform in 0.02 to 0.4 of the frame, the aspect ratio in 0.3 to 1 / 0.3;
    the first of 100 draws that fits into the frame is taken.

    Source: Zhong et al. 2020, Algorithm 1.
    Differs: as in the published code, the corner is drawn from where the box fits, and
    nothing is erased when none of the draws fits.
    """
    height, width = frame_size
    erased = np.flatnonzero(rng.random(num) < probability)
    shape = len(erased), _TRIES
    area = rng.uniform(*_AREA, shape) * height * width
    aspect = rng.uniform(_ASPECT, 1 / _ASPECT, shape)
    h, w = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (h > 0) & (h < height) & (w > 0) & (w < width)
    first_fit = np.arange(len(erased)), fits.argmax(axis=1)
    erased, h, w = (
        values[fits[first_fit]] for values in (erased, h[first_fit], w[first_fit])
    )
    h, w = h.astype(int), w.astype(int)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    boxes = np.zeros((num, 4), np.int32)
    boxes[erased] = np.stack([top, left, top + h, left + w], axis=1)
    return boxes
