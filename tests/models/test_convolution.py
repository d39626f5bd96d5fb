"""reid_jax/models/convolution.py and pooling: what XLA's own operations compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from reid_jax.models import layers
from reid_jax.models.convolution import by_xla, conv

CHANNELS_LAST = {4: ("NHWC", "HWIO", "NHWC"), 5: ("NDHWC", "DHWIO", "NDHWC")}


def _as_xla(x, kernel, strides, padding):
    numbers = CHANNELS_LAST[x.ndim]
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=numbers
    )


def _with_gradients(function, *inputs):
    """Output and, for the same cotangent each time, the gradient of every input."""
    y = jax.eval_shape(function, *inputs)
    dy = _normal(2, *y.shape).astype(y.dtype)

    @jax.jit
    def run(dy, *inputs):
        y, gradients = jax.vjp(function, *inputs)
        return y, *gradients(dy)

    return run(dy, *inputs)


def _normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


_SLOW = [
    ((4, 21, 15, 3), (7, 7, 7), (1, 2, 2), (3, 3, 3)),  # ResNet's stem
    ((2, 25, 23, 12), (3, 3, 3), (1, 1, 1), (1, 1, 1)),  # large frames
    ((4, 9, 8, 12), (3, 3, 3), (2, 1, 2), (0, 1, 0)),
    ((2, 6, 5, 12), (1, 3, 3), (1, 1, 1), (0, 1, 1)),
    ((2, 24, 24, 5), (1, 1, 1), (1, 1, 1), (0, 0, 0)),
    ((17, 19, 24), (3, 3), (1, 1), (1, 1)),  # large
    ((33, 35, 24), (3, 3), (2, 2), (1, 1)),
    ((8, 5, 24), (1, 1), (1, 1), (0, 0)),
    ((2, 3, 4, 6), (2, 3, 4), (2, 1, 1), (0, 0, 0)),  # the whole clip
]


@pytest.mark.parametrize(
    ("clip", "kernel", "stride", "padding"),
    [
        *(pytest.param(*case, marks=pytest.mark.slow) for case in _SLOW),
        ((4, 6, 5, 4), (5, 3, 3), (1, 2, 2), (2, 1, 1)),  # many taps of few channels
        ((3, 25, 23, 3), (3, 3, 3), (1, 1, 1), (1, 1, 1)),  # C3D's first, large frames
        ((6, 27, 26, 11), (2, 3, 5), (1, 1, 1), (0, 1, 2)),  # large, an odd kernel
        ((3, 5, 4, 12), (3, 3, 3), (1, 1, 1), (1, 1, 1)),  # small frames
        ((1, 5, 4, 12), (3, 3, 3), (1, 1, 1), (1, 1, 1)),  # two taps see padding only
        ((5, 9, 8, 12), (3, 3, 3), (2, 2, 2), (1, 1, 1)),  # odd and even by stride 2
        ((5, 7, 6, 12), (1, 1, 1), (2, 2, 2), (0, 0, 0)),  # a matrix product
        ((3, 4, 4, 12), (1, 1, 1), (1, 1, 1), (1, 0, 0)),  # of padded clips
        ((37, 33, 3), (7, 7), (2, 2), (3, 3)),  # images: ResNet's stem
        ((34, 36, 24), (3, 2), (2, 1), (0, 1)),  # where the last pixels are not seen
        ((8, 4, 24), (3, 3), (1, 1), (1, 1)),  # small
        ((8, 5, 24), (3, 3), (2, 2), (1, 1)),
        ((8, 5, 3), (1, 1), (2, 2), (0, 0)),
        ((7, 5, 3), (1, 1), (2, 3), (0, 1)),
        ((7, 4, 24), (7, 4), (1, 1), (0, 0)),  # the whole image: attention's
        ((3, 3, 6), (3, 3), (1, 1), (1, 1)),  # as large as the image, and padded
    ],
)
def test_convolution_is_that_of_xla(clip, kernel, stride, padding):
    with jax.enable_x64(True):
        pads = tuple((p, p) for p in padding)
        inputs = _normal(0, 2, *clip), _normal(1, *kernel, clip[-1], 5)
        actual, expected = (
            _with_gradients(lambda x, k, f=f: f(x, k, stride, pads), *inputs)
            for f in (conv, _as_xla)
        )
        for ours, theirs in zip(actual, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-11)


def test_layers_use_it_and_keep_their_parameters():
    layer = layers.conv(
        4, 6, (3, 3, 3), padding=1, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(0)
    )
    assert layer.conv_general_dilated is conv
    assert layer.kernel.shape == (3, 3, 3, 4, 6)


def test_bfloat16_is_rounded_once():
    x = _normal(0, 1, 4, 6, 5, 16).astype("bfloat16")
    kernel = _normal(1, 3, 3, 3, 16, 8).astype("bfloat16")
    pads = ((1, 1),) * 3
    whole = _as_xla(x.astype("float32"), kernel.astype("float32"), (1, 1, 1), pads)
    for f in (conv, _as_xla):
        y, dx, dkernel = _with_gradients(
            lambda x, k, f=f: f(x, k, (1, 1, 1), pads), x, kernel
        )
        assert y.dtype == dx.dtype == dkernel.dtype == jnp.bfloat16
        # Half of the last of 8 bits.
        np.testing.assert_allclose(y.astype("float32"), whole, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "window", "stride", "padding"),
    [
        ((4, 9, 8, 3), (3, 3, 3), (2, 2, 2), (1, 1, 1)),
        ((4, 9, 8, 3), (1, 2, 2), (1, 2, 2), (0, 0, 0)),
        ((2, 7, 7, 3), (2, 2, 2), (2, 2, 2), (0, 1, 1)),
        ((9, 8, 3), (3, 3), (2, 2), (1, 1)),
    ],
)
@pytest.mark.parametrize("levels", [2, 10_000])
def test_pooling_is_that_of_xla(shape, window, stride, padding, levels):
    # Two levels: nearly every window holds equal maxima, and the first one counts.
    with jax.enable_x64(True):
        x = np.random.default_rng(0).integers(levels, size=(2, *shape)) / levels
        pads = [(p, p) for p in padding]
        actual = _with_gradients(
            lambda x: layers.max_pool(x, window, stride, padding), x
        )
        expected = _with_gradients(
            lambda x: nnx.max_pool(x, window, strides=stride, padding=pads), x
        )
        np.testing.assert_array_equal(actual[0], expected[0])
        np.testing.assert_allclose(actual[1], expected[1], atol=1e-12)


def test_pooling_lets_nan_through():
    x = jnp.ones((1, 4, 4, 4, 1)).at[0, 1, 2, 3, 0].set(jnp.nan)
    y = layers.max_pool(x, (2, 2, 2), (2, 2, 2), (0, 0, 0))[0, ..., 0]
    assert np.argwhere(np.isnan(y)).tolist() == [[0, 1, 1]]


def test_jit_sees_whose_convolution_it_is():
    x, kernel = np.ones((1, 2, 2, 3), "f"), np.ones((1, 1, 3, 4), "f")
    numbers = {"dimension_numbers": CHANNELS_LAST[4]}
    run = jax.jit(lambda x, k: conv(x, k, (1, 1), ((0, 0), (0, 0)), **numbers))
    for is_xla in (False, True, False):
        with by_xla(is_xla):
            assert ("conv_general_dilated" in str(run.trace(x, kernel).jaxpr)) == is_xla
