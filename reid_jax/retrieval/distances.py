"""Distances between query and gallery embeddings, always [query, gallery]."""

import jax
import jax.numpy as jnp
from jaxtyping import Float

from reid_jax.arrays import Array

_HIGHEST = jax.lax.Precision.HIGHEST


@jax.jit
def squared_l2(x: Float[Array, "Q D"], y: Float[Array, "G D"]) -> Float[Array, "Q G"]:
    """Squared Euclidean distances, at least 0."""
    x, y = jnp.asarray(x), jnp.asarray(y)
    products = jnp.matmul(x, y.T, precision=_HIGHEST)
    norms = jnp.sum(x * x, axis=1)[:, None] + jnp.sum(y * y, axis=1)[None, :]
    return jnp.maximum(norms - 2 * products, 0.0)


@jax.jit
def l2(x: Float[Array, "Q D"], y: Float[Array, "G D"]) -> Float[Array, "Q G"]:
    """Euclidean distances (not squared)."""
    return jnp.sqrt(squared_l2(x, y))


@jax.jit
def cosine(x: Float[Array, "Q D"], y: Float[Array, "G D"]) -> Float[Array, "Q G"]:
    """One minus the cosine of the angle, in [0, 2]; a zero vector is at 1 from all."""
    return 1 - jnp.matmul(_unit(x), _unit(y).T, precision=_HIGHEST)


METRICS = {"l2": l2, "cosine": cosine}
"""What `config.eval.metric` may name."""


def _unit(x: Float[Array, "N D"]) -> Float[Array, "N D"]:
    x = jnp.asarray(x)
    norm = jnp.linalg.norm(x, axis=1, keepdims=True)
    return x / jnp.where(norm == 0, 1.0, norm)
