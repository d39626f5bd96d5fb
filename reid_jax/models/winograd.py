"""Winograd's minimal filtering F(2, 3): convolutions with 3×3 and 3×3×3 kernels.

Along an axis, y = Aᵀ[(G g) ⊙ (Bᵀ d)]: a tile d of four inputs and a kernel g of three
entries give two outputs y. A sum takes 6 multiplications for them, ⊙ takes 4. With
three axes, a sum takes 3.4 times as many. The products are summed over the channels
before Aᵀ, so ⊙ is a matrix product.

Source: Lavin & Gray 2016 (arXiv:1509.09308), Sec. 4.1 and Eq. 8.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float

from reid_jax.arrays import Array

_G = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])

# With less than this, the passes over all tiles, and over the kernel, took longer than
# the saved multiplications (two cores, shapes of ResNet-50, ResNet3D-50 and C3D).
_LEAST_CHANNELS = 64  # of input and output
_LEAST_SIZE = 4  # outputs along each axis
_LEAST_TILES = 64  # of all images

_MOST_BYTES = 2**30
"""Limit of the memory of tiles: larger images are computed strip by strip.

It holds for the result; the gradient takes about twice as much. A strip has at least
one row of tiles, even if that takes more.
"""


def is_faster(x, kernel, strides, padding) -> bool:
    """Whether `convolve` can compute this convolution, and saves time on a CPU."""
    sizes = _output_sizes(x, kernel, padding)
    tiles = len(x) * math.prod(-(-size // 2) for size in sizes)
    return (
        set(kernel.shape[:-2]) == {3}
        and set(strides) == {1}
        and min(min(pads) for pads in padding) >= 0
        and min(kernel.shape[-2:]) >= _LEAST_CHANNELS
        and min(sizes) >= _LEAST_SIZE
        and tiles >= _LEAST_TILES
    )


@functools.partial(jax.checkpoint, static_argnums=2)
def convolve(
    x: Float[Array, "B ... C"], kernel: Float[Array, "... C D"], padding
) -> Float[Array, "B ... D"]:
    """Convolves with stride 1; the kernel has three entries along each axis.

    There is at least one image, and one output along each axis. The result is float32
    at least. The gradient keeps only `x` and the kernel, and computes the tiles again.

    Args:
        x: the images, channels last.
        kernel: the kernel.
        padding: a pair of numbers, at least 0, for each axis.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    x, kernel = x.astype(wide), kernel.astype(wide)
    sizes = _output_sizes(x, kernel, padding)
    strips, height = _strips(x, kernel, sizes)
    even = [strips * height, *(n + n % 2 for n in sizes[1:])]
    pads = [
        (first, last + more - n)
        for (first, last), more, n in zip(padding, even, sizes, strict=True)
    ]
    x = jnp.pad(x, [(0, 0), *pads, (0, 0)])
    run = functools.partial(_convolve_even, _transformed(kernel))
    if strips == 1:
        y = run(x)
    else:
        starts = range(0, strips * height, height)
        x = jnp.stack([x[:, start : start + height + 2] for start in starts])
        y = jnp.moveaxis(lax.map(run, x), 0, 1).reshape(len(x[0]), *even, -1)
    return y[:, *(slice(size) for size in sizes)]


def _strips(x, kernel, sizes) -> tuple[int, int]:
    """Number of strips of the first axis, and their (even) number of outputs there.

    They are computed in turn. Each axis doubles the memory of `x` and of the result.
    """
    tiles = [-(-size // 2) for size in sizes]
    entries = 4 ** len(sizes) * len(x) * math.prod(tiles) * sum(kernel.shape[-2:])
    wanted = -(-entries * x.dtype.itemsize // _MOST_BYTES)
    strips = -(-tiles[0] // max(1, tiles[0] // wanted))
    return strips, 2 * -(-tiles[0] // strips)


@jax.checkpoint
def _convolve_even(kernel, x):
    """Computes `convolve` for padded `x` and outputs of even size."""
    axes = x.ndim - 2
    # [B, …, C] → [4, …, 4, B, tiles…, C]: each axis in turn stands at `axes`, and its
    # 4 entries come in front of all others.
    for _ in range(axes):
        x = lax.optimization_barrier(_tiles(x, axes))
    rows = x.reshape(4**axes, -1, x.shape[-1])
    y = lax.dot_general(rows, kernel, (((2,), (1,)), ((0,), (0,))))
    y = y.reshape(*x.shape[:-1], y.shape[-1])
    for _ in range(axes):
        y = lax.optimization_barrier(_outputs(y, axes))
    return y


def _output_sizes(x, kernel, padding) -> list[int]:
    return [
        n + sum(pads) - k + 1
        for n, k, pads in zip(x.shape[1:-1], kernel.shape, padding, strict=False)
    ]


def _tiles(x, axis: int):
    """Applies Bᵀ to the tiles of 4 that begin at every second entry of `axis`."""
    pairs = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :])
    even, odd = (jnp.squeeze(half, axis + 1) for half in jnp.split(pairs, 2, axis + 1))
    num_tiles = even.shape[axis] - 1
    d0, d2 = (lax.slice_in_dim(even, i, i + num_tiles, axis=axis) for i in (0, 1))
    d1, d3 = (lax.slice_in_dim(odd, i, i + num_tiles, axis=axis) for i in (0, 1))
    return jnp.stack([d0 - d2, d1 + d2, d2 - d1, d1 - d3])


def _transformed(kernel):
    """Applies G along each axis: [3, ..., C, D] → [4**axes, C, D]."""
    axes, channels = kernel.ndim - 2, kernel.shape[-2:]
    matrix = functools.reduce(np.kron, [_G] * axes).astype(kernel.dtype)
    return (matrix @ kernel.reshape(3**axes, -1)).reshape(4**axes, *channels)


def _outputs(products, axis: int):
    """Applies Aᵀ to the first axis: two outputs for a tile, side by side in `axis`."""
    m0, m1, m2, m3 = (jnp.squeeze(m, 0) for m in jnp.split(products, 4))
    y = jnp.stack([m0 + m1 + m2, m1 - m2 - m3], axis + 1)
    return y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
