"""Batch normalisation as torch has it, keeping little for the backward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.layers import param_dtype


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
            fixed = jax.lax.stop_gradient(x)  # `_normalise` has their gradient
            mean = jnp.mean(fixed, axes, dtype=stored)
            var = jnp.mean(jnp.square(fixed.astype(stored) - mean), axes)
            n = x.size // x.shape[-1]
            self._remember(mean, var * (n / max(n - 1, 1)))
        else:
            mean, var = self.running_mean[...], self.running_var[...]
        inverse = jax.lax.rsqrt(var + self.epsilon)
        y = _normalise(x, self.weight[...], self.bias[...], mean, inverse, train)
        return y.astype(self.dtype)

    def _remember(self, mean: jax.Array, unbiased_var: jax.Array) -> None:
        m = self.momentum
        self.running_mean[...] = m * self.running_mean[...] + (1 - m) * mean
        self.running_var[...] = m * self.running_var[...] + (1 - m) * unbiased_var


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _normalise(x, weight, bias, mean, inverse, is_batch: bool):
    """BatchNorm, given the mean and the inverse of the standard deviation [C].

    `is_batch`: they are those of `x`, and change with it. Of arrays as large as `x` the
    backward pass keeps `x` alone. Automatic differentiation would keep differences and
    products as well, in float32 where `x` is bfloat16.
    """
    return (x.astype(mean.dtype) - mean) * (weight * inverse) + bias


def _normalise_forward(x, weight, bias, mean, inverse, is_batch):
    y = _normalise(x, weight, bias, mean, inverse, is_batch)
    return y, (x, weight, mean, inverse)


def _normalise_backward(is_batch, saved, dy):
    """Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), Sec. 3, in terms of x̂."""
    x, weight, mean, inverse = saved
    axes = tuple(range(x.ndim - 1))
    normalised = (x.astype(mean.dtype) - mean) * inverse
    of_weight, of_bias = jnp.sum(dy * normalised, axes), jnp.sum(dy, axes)
    dx = dy
    if is_batch:
        n = x.size // x.shape[-1]
        dx = dy - (of_bias + normalised * of_weight) / n
    dx = (dx * (weight * inverse)).astype(x.dtype)
    return dx, of_weight, of_bias, None, None


_normalise.defvjp(_normalise_forward, _normalise_backward)
