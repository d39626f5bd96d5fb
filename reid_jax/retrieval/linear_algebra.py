"""Linear algebra of the learnt metrics, in float64."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jaxtyping import Float, Real

from reid_jax.arrays import Array

_WITH_FLOAT64 = ("cpu", "gpu")
_PRODUCT = 512  # from this size, only one half of a Gram matrix is computed


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Returns a context in which JAX computes in float64.

    It uses the default device, or the CPU if that device (a TPU) has no float64.
    """
    has_float64 = jax.default_backend() in _WITH_FLOAT64
    cpu = None if has_float64 else jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True), jax.default_device(cpu or jax.config.jax_default_device):
        yield


def gram(
    rows: Float[Array, "N D"], weights: Real[Array, "N"] | float = 1.0
) -> Float[jax.Array, "D D"]:
    """Computes Σ_i w_i x_iᵀx_i of the rows x_i, exactly symmetric."""
    # XLA on a CPU takes twice as long for a product over the first axis of both sides.
    columns = jax.lax.optimization_barrier(rows.T * weights)
    return _symmetric_product(columns, rows)


def _symmetric_product(left, right) -> Float[jax.Array, "D D"]:
    """Computes `left` [D, N] times `right` [N, D]; the product must be symmetric."""
    num = len(left)
    if num < _PRODUCT:
        product = left @ right
        return (product + product.T) / 2
    half = num // 2
    corner = left[:half] @ right[:, half:]
    first = _symmetric_product(left[:half], right[:, :half])
    last = _symmetric_product(left[half:], right[:, half:])
    return jnp.block([[first, corner], [corner.T, last]])


def inverse(matrix: Float[jax.Array, "D D"]) -> Float[jax.Array, "D D"]:
    """Inverts a symmetric positive definite matrix."""
    factor = jax.scipy.linalg.cho_factor(matrix)
    return jax.scipy.linalg.cho_solve(factor, jnp.eye(len(matrix)))
