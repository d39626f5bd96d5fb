"""Random draws: a key's stream of uniform numbers, stretched, weighted and chosen from.

Everything random about the world is drawn with these, so that each sampler reads as a
list of fields with their ranges.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np


def pytree(cls):
    """A frozen dataclass of arrays, registered with JAX."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


def stream(key, size: int) -> Callable[[], jax.Array]:
    """`size` uniform numbers in [0, 1), one with each call."""
    return functools.partial(next, iter(jax.random.uniform(key, (size,))))


def between(u, low, high):
    """`u` in [0, 1) stretched to [low, high)."""
    return low + u * (high - low)


def choose(u, weights):
    """Index drawn in proportion to `weights` by `u` in [0, 1)."""
    edges = np.cumsum(np.asarray(weights, np.float64) / np.sum(weights))[:-1]
    return jnp.sum(u >= jnp.asarray(edges, jnp.float32))


def sometimes(p, u, v, low, high, otherwise=0.0):
    """A value in [low, high) with probability p, else `otherwise`."""
    return jnp.where(u < p, between(v, low, high), otherwise)


def normal(u, scale=1.0):
    """A normal number from uniform `u`, cut at 2.6 standard deviations."""
    return scale * jnp.clip(jax.scipy.special.ndtri(between(u, 1e-4, 1.0)), -2.6, 2.6)


def sign(u):
    """-1 or 1, equally likely."""
    return jnp.where(u < 0.5, -1.0, 1.0)
