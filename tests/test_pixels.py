"""reid_jax/pixels.py."""

import numpy as np
import pytest

from reid_jax import pixels


def test_imagenet_by_hand():
    clips = np.array([0, 255, 128], np.uint8).reshape(1, 1, 1, 1, 3)
    values = pixels.normalize(clips, "imagenet")[0, 0, 0, 0]
    expected = [-0.485 / 0.229, (1 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_unknown_convention():
    with pytest.raises(ValueError, match="normalization='caffe' is unknown"):
        pixels.normalize(np.zeros((1, 1, 1, 1, 3), np.uint8), "caffe")
