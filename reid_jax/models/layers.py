"""Layers with the conventions of the original networks, and their initialisers."""

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
    """Fully connected layer, by default initialised as in torch."""
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
    """Dtype of parameters, statistics and losses: `dtype`, but at least float32."""
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
    """Convolution over `len(kernel)` axes, channels last, with explicit padding.

    Padding is in numbers, because 'SAME' pads only one side at stride 2, where torch
    pads both. By default a convolution with a bias is initialised as in torch, one
    without as in ResNet (`he_normal_fan_out`).
    """
    dims = len(kernel)
    strides = (stride,) * dims if isinstance(stride, int) else tuple(stride)
    pads = (padding,) * dims if isinstance(padding, int) else tuple(padding)
    torch_init = torch_uniform(in_features * math.prod(kernel))
    init = torch_init if use_bias else he_normal_fan_out
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
        bias_init=bias_init or torch_init,
        conv_general_dilated=convolution.conv,
        rngs=rngs,
    )


def max_pool(
    x: Float[Array, "B ..."], window: Sequence[int], stride: Sequence[int], padding
) -> Float[Array, "B ..."]:
    """Maximum over windows along the axes between batch and channels.

    Among equal maxima, the first gets the gradient, as in torch.
    """
    if not convolution.is_ours():
        pads = [(p, p) for p in padding]
        return nnx.max_pool(x, tuple(window), strides=tuple(stride), padding=pads)
    # Axis by axis: on a CPU its gradient is several times faster. The last axis comes
    # first, so that the first of equal maxima in the window wins.
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
        # NaN passes through, so that it shows in the loss.
        is_larger = (other > largest) | jnp.isnan(other)
        largest = jnp.where(is_larger, other, largest)
    return largest


def dropout(
    x: Float[Array, "B D"], rate: float, keys: jax.Array | None
) -> Float[Array, "B D"]:
    """Zeroes a share `rate` of the entries and scales the others to keep the mean.

    `keys` [B] has a random key for each row, so a row does not depend on its batch.
    """
    if keys is None:
        raise ValueError("A network with dropout needs rng= when it is trained.")
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def normal(stddev: float) -> nnx.initializers.Initializer:
    """Initialiser that draws from N(0, stddev²)."""
    return _scaled(jax.random.normal, lambda shape, dtype: dtype.type(stddev))


def torch_uniform(fan_in: int) -> nnx.initializers.Initializer:
    """Initialiser U(-b, b), b = fan_in^-1/2: torch's default for weights and biases."""
    bound = fan_in**-0.5

    def draw(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return _scaled(draw, lambda shape, dtype: dtype.type(1))


def _truncated(key, shape, dtype):
    return jax.random.truncated_normal(key, -2, 2, shape, dtype)


def _he(fan: int, dtype: np.dtype):
    return np.sqrt(dtype.type(2 / fan))


def _scaled(draw: Callable, scale: Callable) -> nnx.initializers.Initializer:
    """Initialiser that returns `draw(key, shape, dtype)` times `scale(shape, dtype)`.

    XLA compiles a draw for each shape, and that would take most of the time of building
    a network. Entry i of a draw depends only on the key and on i, so a longer draw
    begins with the same numbers. So only a few lengths are drawn, and cut to size.
    """

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        factor = scale(shape, jnp.dtype(dtype))
        if isinstance(key, jax.core.Tracer):
            return draw(key, shape, dtype) * factor
        size = math.prod(shape)
        values = np.asarray(draw(key, (_longer(size),), dtype))[:size]
        return jnp.asarray((values * factor).reshape(shape))

    return init


def _longer(size: int) -> int:
    """Smallest of few lengths that is at least `size`: powers of 4, later of 2."""
    power = 4096
    while power < size:
        power *= 4 if power < 2**18 else 2
    return power


_TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal distribution truncated to [-2, 2]."""

he_normal_fan_out = _scaled(
    jax.random.normal,
    lambda shape, dtype: _he(math.prod(shape[:-2]) * shape[-1], dtype),
)
"""N(0, 2 / fan out) (He et al. 2015), for ResNet's convolutions, as in torchvision."""

he_normal = _scaled(
    _truncated,
    lambda shape, dtype: (
        _he(math.prod(shape[:-1]), dtype) / dtype.type(_TRUNCATED_STDDEV)
    ),
)
"""Truncated normal of standard deviation (2 / fan in)^1/2 (He et al. 2015)."""
