"""Instance normalisation, and IBN-a, which combines it with batch normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.batch_norm import BatchNorm
from reid_jax.models.layers import param_dtype


class InstanceNorm(nnx.Module):
    """Normalises each channel of each picture by its mean and standard deviation.

    Training and evaluation do the same: there are no running statistics. Mean and
    biased variance are computed in at least float32, with an ε of 1e-5, as in torch. A
    constant channel becomes the bias.

    Source: Ulyanov et al. 2016 (arXiv:1607.08022).
    """

    def __init__(self, num_features: int, *, dtype: jnp.dtype):
        dtype_of_params = param_dtype(dtype)
        self.weight = nnx.Param(jnp.asarray(np.ones(num_features, dtype_of_params)))
        self.bias = nnx.Param(jnp.asarray(np.zeros(num_features, dtype_of_params)))
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
    """IBN-a: instance norm on the first half of the channels, batch norm on the rest.

    Instance norm removes the look of a camera (colour, contrast); the second half
    keeps it, as it also tells persons apart.

    Source: Pan et al. 2018 (arXiv:1807.09441), Sec. 3.2 and Fig. 3 (a).
    """

    def __init__(self, num_features: int, *, dtype: jnp.dtype):
        self.half = num_features // 2
        self.IN = InstanceNorm(self.half, dtype=dtype)
        self.BN = BatchNorm(num_features - self.half, dtype=dtype)

    def __call__(
        self, x: Float[Array, "B ... C"], *, train: bool
    ) -> Float[Array, "B ... C"]:
        first, second = x[..., : self.half], x[..., self.half :]
        return jnp.concatenate([self.IN(first), self.BN(second, train=train)], axis=-1)
