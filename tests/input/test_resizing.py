"""reid_jax/input/resizing.py: what windows show, beside PIL."""

import numpy as np
import pytest
from PIL import Image

from reid_jax.input import augmentation, resizing


def _resized(frame, padding, resized, corner, frame_size, flip=False):
    """One frame in a batch of one clip, padded with noise."""
    height, width, _ = frame.shape
    rng = np.random.default_rng(1)
    padded = rng.integers(256, size=(height + padding, width + 2 * padding, 3))
    padded[:height, :width] = frame
    windows = augmentation.Windows(
        np.array([[resized]]),
        np.array([[corner]]),
        np.array([[flip]]),
        np.zeros((1, 1, 4), int),
    )
    clips = padded[None, None].astype(np.uint8)
    sizes = np.array([[[height, width]]])
    frames = resizing.resize_crop_flip(
        clips,
        sizes,
        windows,
        num_taps=resizing.num_taps(sizes, resized),
        frame_size=frame_size,
        color=(0, 0, 0),
    )
    return np.asarray(frames)[0, 0]


@pytest.mark.parametrize("size", [(128, 64), (40, 31), (256, 128), (3, 1), (500, 90)])
@pytest.mark.parametrize("padding", [0, 5])
def test_frames_are_resized_as_pil_does(size, padding):
    rng = np.random.default_rng(0)
    frame = rng.integers(256, size=(*size, 3)).astype(np.uint8)
    ours = _resized(frame, padding, (72, 36), (3, 1), (64, 32))
    resized = Image.fromarray(frame).resize((36, 72), Image.Resampling.BILINEAR)
    expected = np.asarray(resized)[3:67, 1:33]
    # PIL rounds after each axis.
    assert np.abs(ours.astype(int) - expected).max() <= 1
    assert np.mean(ours != expected) < 0.2
    flipped = _resized(frame, padding, (72, 36), (3, 1), (64, 32), flip=True)
    np.testing.assert_array_equal(flipped, ours[:, ::-1])


def test_what_is_not_resized_stays():
    frame = np.random.default_rng(0).integers(256, size=(40, 24, 3)).astype(np.uint8)
    ours = _resized(frame, 9, (40, 24), (5, 2), (32, 20))
    np.testing.assert_array_equal(ours, frame[5:37, 2:22])


def test_sizes_are_rounded_up_to_few():
    rounded = {resizing.round_up(n) for n in range(1, 1025)}
    assert {1, 2, 3, 64, 96, 128, 1024} < rounded and len(rounded) == 20
    assert all(n <= resizing.round_up(n) <= 1.5 * n for n in range(1, 1025))
