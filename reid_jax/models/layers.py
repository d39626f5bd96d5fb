"""Convolution and BatchNorm as the original checkpoints have them."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models import convolution, initializers


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
    init = initializers.torch_uniform(in_features)
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
    of_torch = initializers.torch_uniform(in_features * math.prod(kernel))
    init = of_torch if use_bias else initializers.he_normal_fan_out()
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
    if jax.default_backend() != "cpu":
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


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with torch's bookkeeping.

    Training normalises with the biased variance of the whole (global) batch and
    stores the unbiased one (n / (n - 1)); `nnx.BatchNorm` stores the biased one.
    Statistics are kept and computed in at least float32. Without `trains_bias` the
    bias stays 0.
    """

    def __init__(
        self,
        num_features: int,
        *,
        dtype: jnp.dtype,
        gain: float = 1.0,
        trains_bias: bool = True,
    ):
        stored = param_dtype(dtype)
        kind = nnx.Param if trains_bias else nnx.BatchStat

        def every(value: float) -> jax.Array:  # jnp.full is compiled for each length
            return jnp.asarray(np.full(num_features, value, stored))

        self.weight, self.bias = nnx.Param(every(gain)), kind(every(0.0))
        self.running_mean = nnx.BatchStat(every(0.0))
        self.running_var = nnx.BatchStat(every(1.0))
        self.dtype = dtype
        self.momentum = 0.9
        self.epsilon = 1e-5

    def __call__(
        self, x: Float[Array, "... C"], *, train: bool
    ) -> Float[Array, "... C"]:
        stored = self.running_mean[...].dtype
        if train:
            axes = tuple(range(x.ndim - 1))
            mean = jnp.mean(x, axes, dtype=stored)
            var = jnp.mean(jnp.square(x.astype(stored) - mean), axes)
            n = x.size // x.shape[-1]
            self._remember(mean, var * (n / max(n - 1, 1)))
        else:
            mean, var = self.running_mean[...], self.running_var[...]
        scale = self.weight[...] * jax.lax.rsqrt(var + self.epsilon)
        normalised = (x.astype(stored) - mean) * scale + self.bias[...]
        return normalised.astype(self.dtype)

    def _remember(self, mean: jax.Array, unbiased_var: jax.Array) -> None:
        m = self.momentum
        self.running_mean[...] = m * self.running_mean[...] + (1 - m) * mean
        self.running_var[...] = m * self.running_var[...] + (1 - m) * unbiased_var
