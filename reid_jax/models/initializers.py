"""Where parameters start: the usual distributions, drawn without compiling each shape.

XLA compiles a draw for each shape, which is most of the time of building a network.
Entry i of a draw depends on the key and on i alone (JAX's jax_threefry_partitionable),
so that a longer draw begins with the same numbers: those of a few lengths are compiled,
and the rest is cut off.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

_CUT = 0.87962566103423978  # deviation of a standard normal that is cut at -2 and 2


def normal(stddev: float) -> nnx.initializers.Initializer:
    """N(0, stddev²)."""
    return _scaled(jax.random.normal, lambda shape, dtype: dtype.type(stddev))


def he_normal_fan_out() -> nnx.initializers.Initializer:
    """N(0, 2 / fan out) (He et al. 2015): ResNet's convolutions, as in torchvision."""
    return _scaled(
        jax.random.normal,
        lambda shape, dtype: _he(math.prod(shape[:-2]) * shape[-1], dtype),
    )


def he_normal() -> nnx.initializers.Initializer:
    """Deviation (2 / fan in)^1/2, without what is beyond two deviations."""

    def draw(key, shape, dtype):
        return jax.random.truncated_normal(key, -2, 2, shape, dtype)

    return _scaled(
        draw,
        lambda shape, dtype: _he(math.prod(shape[:-1]), dtype) / dtype.type(_CUT),
    )


def torch_uniform(fan_in: int) -> nnx.initializers.Initializer:
    """U(-b, b) with b = fan_in^-1/2: torch's default for weights and biases alike."""
    bound = fan_in**-0.5

    def draw(key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return _scaled(draw, lambda shape, dtype: dtype.type(1))


def _he(fan: int, dtype: np.dtype):
    return np.sqrt(dtype.type(2 / fan))


def _scaled(draw: Callable, scale: Callable) -> nnx.initializers.Initializer:
    """`draw(key, shape, dtype)` times `scale(shape, dtype)`; sharded by the caller."""

    def init(key, shape, dtype=jnp.float32, out_sharding=None):
        factor = scale(shape, jnp.dtype(dtype))
        if isinstance(key, jax.core.Tracer):
            return draw(key, shape, dtype) * factor
        size = math.prod(shape)
        drawn = np.asarray(draw(key, (_longer(size),), dtype))[:size]
        return jnp.asarray((drawn * factor).reshape(shape))

    return init


def _longer(size: int) -> int:
    """Of few lengths the next: powers of 4 from 4096 on, of 2 where more is drawn."""
    power = 4096
    while power < size:
        power *= 4 if power < 2**18 else 2
    return power
