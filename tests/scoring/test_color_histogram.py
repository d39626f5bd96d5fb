import numpy as np
import pytest

from reid_jax.scoring import color_histogram


def test_flat_stripes_fill_one_bin_each():
    frames = np.zeros((1, 6, 2, 3), np.uint8)
    frames[0, 0] = (255, 0, 0)
    frames[0, 5] = (0, 64, 255)
    row = color_histogram.stripe_histogram(frames)[0].reshape(6, 3, 16)
    assert row.dtype == np.float32
    expected = np.zeros((6, 3, 16), np.float32)
    expected[:, :, 0] = 1
    expected[0, 0] = np.eye(16)[15]
    expected[5, 1] = np.eye(16)[4]
    expected[5, 2] = np.eye(16)[15]
    np.testing.assert_allclose(row, np.sqrt(expected / 18), rtol=1e-6)


@pytest.mark.parametrize("height", [6, 16, 23])
def test_equals_a_count_by_loops(height):
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (3, height, 5, 3), dtype=np.uint8)
    expected = np.zeros((3, 6, 3, 16))
    for n in range(3):
        for stripe in range(6):
            top, bottom = stripe * height // 6, (stripe + 1) * height // 6
            for pixel in frames[n, top:bottom].reshape(-1, 3).tolist():
                for channel, value in enumerate(pixel):
                    share = 1 / ((bottom - top) * 5 * 18)
                    expected[n, stripe, channel, value // 16] += share
    rows = color_histogram.stripe_histogram(frames)
    assert rows.shape == (3, 288)
    np.testing.assert_allclose(rows, np.sqrt(expected).reshape(3, -1), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)


def test_position_within_a_stripe_does_not_matter():
    rng = np.random.default_rng(1)
    frame = rng.integers(0, 256, (1, 12, 8, 3), dtype=np.uint8)
    flipped = frame[:, :, ::-1]
    np.testing.assert_array_equal(
        color_histogram.stripe_histogram(frame),
        color_histogram.stripe_histogram(flipped),
    )
    swapped = np.concatenate([frame[:, 6:], frame[:, :6]], axis=1)
    assert np.abs(
        color_histogram.stripe_histogram(frame)
        - color_histogram.stripe_histogram(swapped)
    ).max()


def test_frames_without_six_rows_are_refused():
    with pytest.raises(ValueError, match="5x8"):
        color_histogram.stripe_histogram(np.zeros((1, 5, 8, 3), np.uint8))
