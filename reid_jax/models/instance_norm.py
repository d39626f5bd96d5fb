"""Instance normalisation, and IBN-a's mixture of it with batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.batch_norm import BatchNorm
from reid_jax.models.layers import param_dtype


class InstanceNorm(nnx.Module):
    """Normalisation of each channel of each picture by its own mean and deviation.

    In training and evaluation alike: there are no running statistics. They are computed
    in at least float32, with the biased variance and an ε of 1e-5, as torch does it. A
    channel of one value becomes the bias.
    Source: Ulyanov et al. 2016 (arXiv:1607.08022).
    """

    def __init__(self, num_features: int, *, dtype: jnp.dtype):
        stored = param_dtype(dtype)
        self.weight = nnx.Param(jnp.asarray(np.ones(num_features, stored)))
        self.bias = nnx.Param(jnp.asarray(np.zeros(num_features, stored)))
        self.dtype = dtype
        self.epsilon = 1e-5

    def __call__(self, x: Float[Array, "B ... C"]) -> Float[Array, "B ... C"]:
        axes = tuple(range(1, x.ndim - 1))
        wide = x.astype(self.weight[...].dtype)
        centred = wide - wide.mean(axes, keepdims=True)
        variance = jnp.square(centred).mean(axes, keepdims=True)
        scale = self.weight[...] * jax.lax.rsqrt(variance + self.epsilon)
        return (centred * scale + self.bias[...]).astype(self.dtype)


class InstanceBatchNorm(nnx.Module):
    """IBN-a: the first half of the channels through `IN`, the others through `BN`.

    What tells cameras apart (colour, contrast) is taken off the first half, what tells
    persons apart by it stays in the second.
    Source: Pan et al. 2018 (arXiv:1807.09441), Sec. 3.2 and Fig. 3 (a).
    """

    def __init__(self, num_features: int, *, dtype: jnp.dtype):
        self.half = num_features // 2
        self.IN = InstanceNorm(self.half, dtype=dtype)
        self.BN = BatchNorm(num_features - self.half, dtype=dtype)

    def __call__(
        self, x: Float[Array, "B ... C"], *, train: bool
    ) -> Float[Array, "B ... C"]:
        own, shared = x[..., : self.half], x[..., self.half :]
        return jnp.concatenate([self.IN(own), self.BN(shared, train=train)], axis=-1)
