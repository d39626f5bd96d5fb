"""Random draws: a key's stream of uniform numbers, and functions that shape them.

Everything random in the world is drawn with these, so that a sampler reads as a list of
fields with their ranges.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def pytree(cls):
    """Turns a class into a frozen dataclass of arrays, registered with JAX."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


def stream(key, size: int) -> Callable[[], jax.Array]:
    """A function that returns one of `size` uniform numbers in [0, 1) at each call."""
    return functools.partial(next, iter(jax.random.uniform(key, (size,))))


def between(u, low, high):
    """`u` in [0, 1), stretched to [low, high)."""
    return low + u * (high - low)


def choose(u, weights):
    """Index drawn with probabilities proportional to `weights`, from `u` in [0, 1)."""
    edges = np.cumsum(np.asarray(weights, np.float64) / np.sum(weights))[:-1]
    return jnp.sum(u >= jnp.asarray(edges, jnp.float32))


def sometimes(p, u, v, low, high, otherwise=0.0):
    """A number in [low, high) with probability p, else `otherwise`; u, v uniform."""
    return jnp.where(u < p, between(v, low, high), otherwise)


def normal(u, scale=1.0):
    """A normal number from uniform `u`, clipped at 2.6 standard deviations."""
    return scale * jnp.clip(jax.scipy.special.ndtri(between(u, 1e-4, 1.0)), -2.6, 2.6)


def sign(u):
    """-1 or 1 with equal probability, from uniform `u`."""
    return jnp.where(u < 0.5, -1.0, 1.0)
