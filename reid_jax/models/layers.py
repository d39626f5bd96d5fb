"""Layers as the original checkpoints have them, and where their parameters start."""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models import convolution


def linear(
    in_features: int,
    out_features: int,
    *,
    use_bias: bool = True,
    kernel_init: nnx.initializers.Initializer | None = None,
    bias_init: nnx.initializers.Initializer | None = None,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
) -> nnx.Linear:
    """Fully connected layer, initialised as torch's unless told otherwise."""
    init = torch_uniform(in_features)
    return nnx.Linear(
        in_features,
        out_features,
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=param_dtype(dtype),
        kernel_init=kernel_init or init,
        bias_init=bias_init or init,
        rngs=rngs,
    )


def param_dtype(dtype: jnp.dtype) -> jnp.dtype:
    """Dtype of parameters, statistics and losses when computing in `dtype`."""
    return jnp.promote_types(dtype, jnp.float32)


def conv(
    in_features: int,
    out_features: int,
    kernel: Sequence[int],
    *,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int = 0,
    use_bias: bool = False,
    kernel_init: nnx.initializers.Initializer | None = None,
    bias_init: nnx.initializers.Initializer | None = None,
    dtype: jnp.dtype,
    rngs: nnx.Rngs,
) -> nnx.Conv:
    """Convolution over `len(kernel)` axes, channels last, padded by explicit numbers.

    Never 'SAME': that pads one side only at stride 2, torch pads both. Unless told
    otherwise, initialised as ResNet's convolutions, those with a bias as torch does.
    """
    dims = len(kernel)
    strides = (stride,) * dims if isinstance(stride, int) else tuple(stride)
    pads = (padding,) * dims if isinstance(padding, int) else tuple(padding)
    of_torch = torch_uniform(in_features * math.prod(kernel))
    init = of_torch if use_bias else he_normal_fan_out
    return nnx.Conv(
        in_features,
        out_features,
        tuple(kernel),
        strides=strides,
        padding=tuple((p, p) for p in pads),
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=param_dtype(dtype),
        kernel_init=kernel_init or init,
        bias_init=bias_init or of_torch,
        conv_general_dilated=convolution.conv,
        rngs=rngs,
    )


def max_pool(
    x: Float[Array, "B ..."], window: Sequence[int], stride: Sequence[int], padding
) -> Float[Array, "B ..."]:
    """Maximum over windows of the axes between batch and channels.

    The gradient goes to the first of equal maxima, as in torch.
    """
    if not convolution.is_ours():
        pads = [(p, p) for p in padding]
        return nnx.max_pool(x, tuple(window), strides=tuple(stride), padding=pads)
    # Axis by axis, whose gradient is several times faster on a CPU. The last axis
    # goes first, so that the first of equal maxima wins as it does in the window.
    for axis in reversed(range(len(window))):
        x = _max_along(x, axis + 1, window[axis], stride[axis], padding[axis])
    return x


def _max_along(x: jax.Array, axis: int, size: int, step: int, pad: int) -> jax.Array:
    pads = [(0, 0)] * x.ndim
    pads[axis] = (pad, pad)
    x = jnp.pad(x, pads, constant_values=-jnp.inf)
    span = x.shape[axis] - size + 1
    largest, *others = (
        jax.lax.slice_in_dim(x, i, i + span, step, axis) for i in range(size)
    )
    for other in others:
        # NaN is kept, as everywhere else, to be seen in the loss.
        is_larger = (other > largest) | jnp.isnan(other)
        largest = jnp.where(is_larger, other, largest)
    return largest


def dropout(
    x: Float[Array, "B D"], rate: float, keys: jax.Array | None
) -> Float[Array, "B D"]:
    """Zero a share `rate` of the entries and enlarge the others: the mean stays.

    `keys` [B] draw a row each, which is the same in whatever batch it is.
    """
    if keys is None:
        raise ValueError("A network with dropout needs rng= when it is trained.")
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def _drawn(draw: Callable) -> nnx.initializers.Initializer:
    """The initializer whose numbers `draw(generator, shape, dtype)` gives.

    NumPy draws them, from the numbers of the key: jax.random would compile a program
    for each shape, which takes most of the time of building a network. A key gives the
    same numbers inside of jax.jit.
    """

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        def numbers(key_data):
            generator = np.random.default_rng(np.asarray(key_data))
            return draw(generator, shape, np.dtype(dtype))

        key_data = jax.random.key_data(key)
        if isinstance(key_data, jax.core.Tracer):
            result = jax.ShapeDtypeStruct(shape, dtype)
            return jax.pure_callback(numbers, result, key_data)
        return jnp.asarray(numbers(key_data))

    return init


def normal(stddev: float) -> nnx.initializers.Initializer:
    """N(0, stddev²)."""
    return _drawn(lambda rng, shape, dtype: stddev * rng.standard_normal(shape, dtype))


def torch_uniform(fan_in: int) -> nnx.initializers.Initializer:
    """U(-b, b) with b = fan_in^-1/2: torch's default for weights and biases alike."""
    bound = fan_in**-0.5
    return _drawn(lambda rng, shape, dtype: bound * (2 * rng.random(shape, dtype) - 1))


@_drawn
def he_normal_fan_out(rng, shape, dtype):
    """N(0, 2 / fan out) (He et al. 2015): ResNet's convolutions, as in torchvision."""
    fan_out = math.prod(shape[:-2]) * shape[-1]
    return math.sqrt(2 / fan_out) * rng.standard_normal(shape, dtype)


@_drawn
def he_normal(rng, shape, dtype):
    """Deviation (2 / fan in)^1/2, without what is beyond two deviations of the draw."""
    x = rng.standard_normal(shape, dtype)
    while (beyond := np.abs(x) > 2).any():
        x[beyond] = rng.standard_normal(np.count_nonzero(beyond), dtype)
    deviation = 0.87962566103423978  # of a standard normal that is cut at -2 and 2
    return math.sqrt(2 / math.prod(shape[:-1])) / deviation * x
