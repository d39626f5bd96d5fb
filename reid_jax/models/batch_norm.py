"""Batch normalisation as in torch, with little memory for the backward pass."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.layers import param_dtype


class BatchNorm(nnx.Module):
    """Batch normalisation over all axes but the last, with torch's running statistics.

    Training normalises with the biased variance of the whole (global) batch and
    stores the unbiased one (n / (n - 1)); `nnx.BatchNorm` stores the biased one.
    Statistics are stored and computed in at least float32. Without `trains_bias` the
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
        stats_dtype = param_dtype(dtype)
        bias_type = nnx.Param if trains_bias else nnx.BatchStat

        def full(value: float) -> jax.Array:  # jnp.full would compile for each length
            return jnp.asarray(np.full(num_features, value, stats_dtype))

        self.weight, self.bias = nnx.Param(full(gain)), bias_type(full(0.0))
        self.running_mean = nnx.BatchStat(full(0.0))
        self.running_var = nnx.BatchStat(full(1.0))
        self.dtype = dtype
        self.momentum = 0.9
        self.epsilon = 1e-5

    def __call__(
        self, x: Float[Array, "... C"], *, train: bool
    ) -> Float[Array, "... C"]:
        stats_dtype = self.running_mean[...].dtype
        if train:
            axes = tuple(range(x.ndim - 1))
            constant = jax.lax.stop_gradient(x)  # `_normalise` computes the gradient
            mean = jnp.mean(constant, axes, dtype=stats_dtype)
            var = jnp.mean(jnp.square(constant.astype(stats_dtype) - mean), axes)
            n = x.size // x.shape[-1]
            self._update_running(mean, var * (n / max(n - 1, 1)))
        else:
            mean, var = self.running_mean[...], self.running_var[...]
        inverse = jax.lax.rsqrt(var + self.epsilon)
        y = _normalise(x, self.weight[...], self.bias[...], mean, inverse, train)
        return y.astype(self.dtype)

    def _update_running(self, mean: jax.Array, unbiased_var: jax.Array) -> None:
        m = self.momentum
        self.running_mean[...] = m * self.running_mean[...] + (1 - m) * mean
        self.running_var[...] = m * self.running_var[...] + (1 - m) * unbiased_var


@functools.partial(jax.custom_vjp, nondiff_argnums=(5,))
def _normalise(x, weight, bias, mean, inverse, is_batch: bool):
    """Normalises with a mean and an inverse standard deviation, both [C].

    `is_batch` says whether they were computed from `x`, so that the gradient goes
    through them too. The backward pass stores no array as large as `x` but `x` itself.
    Automatic differentiation would store differences and products too, in float32 even
    if `x` is bfloat16.
    """
    return (x.astype(mean.dtype) - mean) * (weight * inverse) + bias


def _normalise_forward(x, weight, bias, mean, inverse, is_batch):
    y = _normalise(x, weight, bias, mean, inverse, is_batch)
    return y, (x, weight, mean, inverse)


def _normalise_backward(is_batch, residuals, dy):
    """Gradients by x, weight and bias, in terms of the normalised x̂.

    Source: Ioffe & Szegedy 2015 (arXiv:1502.03167), Sec. 3.
    """
    x, weight, mean, inverse = residuals
    axes = tuple(range(x.ndim - 1))
    normalised = (x.astype(mean.dtype) - mean) * inverse
    d_weight, d_bias = jnp.sum(dy * normalised, axes), jnp.sum(dy, axes)
    dx = dy
    if is_batch:
        n = x.size // x.shape[-1]
        dx = dy - (d_bias + normalised * d_weight) / n
    dx = (dx * (weight * inverse)).astype(x.dtype)
    return dx, d_weight, d_bias, None, None


_normalise.defvjp(_normalise_forward, _normalise_backward)
