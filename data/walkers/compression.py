"""Blocks as in compressed video: 8x8 cosine transforms with rounded coefficients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

BLOCK = 8

_TO_YCC = np.array(
    [(0.299, 0.587, 0.114), (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081)], np.float32
)
_FROM_YCC = np.linalg.inv(_TO_YCC).astype(np.float32)


@functools.lru_cache(8)
def cosines(size: int) -> np.ndarray:
    """Matrix of orthonormal cosine transforms of blocks of 8 along an axis of `size`.

    float32 [size, size], block-diagonal; the last block may be shorter.
    """
    matrix = np.zeros((size, size), np.float32)
    for first in range(0, size, BLOCK):
        n = min(BLOCK, size - first)
        i, k = np.arange(n)[None], np.arange(n)[:, None]
        block = np.cos(np.pi * (2 * i + 1) * k / (2 * n)) * np.sqrt(2 / n)
        block[0] = np.sqrt(1 / n)
        matrix[first : first + n, first : first + n] = block
    return matrix


def quantize(image: Float[Array, "3 H W"], step) -> Float[Array, "3 H W"]:
    """The rounded cosine coefficients of `image`, or `image` itself where `step` is 0.

    Fine detail is rounded more coarsely than large shapes, and colour more than
    brightness. The channels stay red, green, blue. `undo` gives the matrices that
    invert the transform.
    """
    return jax.lax.cond(step > 0, lambda: _quantize(image, step), lambda: image)


def undo(up_y, up_x, step):
    """The enlarging matrices, changed to work on the output of `quantize`."""
    return tuple(
        jnp.where(step > 0, up @ cosines(up.shape[1]).T, up) for up in (up_y, up_x)
    )


def _quantize(image, step):
    """The rounded coefficients, for a step above 0."""
    height, width = image.shape[1:]
    rough = 0.35 + 0.35 * (
        (np.arange(height) % BLOCK)[:, None] + (np.arange(width) % BLOCK)[None]
    )
    steps = step * np.stack([rough, 2 * rough, 2 * rough]).astype(np.float32)
    coefficients = jnp.einsum("ih,chw->ciw", cosines(height), image)
    coefficients = jnp.einsum("ciw,jw->cij", coefficients, cosines(width))
    ycc = _mix(_TO_YCC, coefficients)
    return _mix(_FROM_YCC, jnp.round(ycc / steps) * steps)


def _mix(matrix, image):
    """Channels mixed by a 3x3 matrix, written out: faster on a CPU than a product."""
    red, green, blue = image
    return jnp.stack([row[0] * red + row[1] * green + row[2] * blue for row in matrix])
