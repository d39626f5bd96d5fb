"""reid_jax/retrieval/centering.py: by hand."""

import numpy as np

from reid_jax.retrieval import centering


def test_the_mean_of_each_camera_is_taken_off_by_hand():
    camids = np.array([3, 3, 3, 3, 3, 0, 0, 0, 0, 0])
    x = np.array([[1, 0], [2, 0], [3, 0], [4, 0], [5, 5]] * 2, "f")
    x[5:] += [100, -7]
    # Both cameras have the means 3 and 1, but for the second one's shift.
    expected = [[-2, -1], [-1, -1], [0, -1], [1, -1], [2, 4]] * 2
    centered = centering.center_cameras(x, camids)
    np.testing.assert_allclose(centered, expected, atol=1e-5)
    assert centered.dtype == x.dtype
    np.testing.assert_array_equal(x[0], [1, 0])  # the given ones stay


def test_a_camera_of_few_tracklets_has_the_mean_of_all():
    camids = np.array([1] * 6 + [2] * (centering.FEWEST - 1) + [9])
    x = np.random.default_rng(0).normal(size=(len(camids), 3))
    centered = centering.center_cameras(x, camids)
    np.testing.assert_allclose(centered[:6], x[:6] - x[:6].mean(axis=0))
    np.testing.assert_allclose(centered[6:], x[6:] - x.mean(axis=0))


def test_the_order_does_not_matter():
    rng = np.random.default_rng(1)
    x, camids, order = (
        rng.normal(size=(40, 3)),
        rng.integers(0, 3, 40),
        rng.permutation(40),
    )
    centered = centering.center_cameras(x, camids)
    again = centering.center_cameras(x[order], camids[order])
    np.testing.assert_allclose(again, centered[order], atol=1e-12)
