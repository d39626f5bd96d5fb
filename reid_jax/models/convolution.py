"""Computes convolutions in a form that XLA runs fast on a CPU too.

On a CPU, XLA is slow in three cases (measured with --xla of benchmarks/networks.py):

- the gradient of a kernel takes 3 to 15 times as long as in PyTorch;
- a 3-D convolution takes 2 to 3.5 times as long as in PyTorch;
- a convolution whose kernel is as large as the image takes far longer than the same
  matrix product.

XLA's matrix products and 2-D convolutions are fast. Here matrix products compute 1×1
convolutions, convolutions of the whole image, most 3×3 and 3×3×3 ones with stride 1
(`winograd`), and the gradients of other kernels. Another 3-D convolution is a sum of
2-D convolutions. Other devices use XLA's convolution, and so does a CPU within
`by_xla(True)`.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models import winograd

by_xla = jax.make_user_context(default_value=False)
"""`with by_xla(True):` traces XLA's convolutions and pooling on a CPU too.

For programs that run on other machines. `jax.jit` compiles again if it changes.
"""


def conv(
    x: Float[Array, "B ... C"],
    kernel: Float[Array, "... C D"],
    strides,
    padding,
    **options,
) -> Float[Array, "B ... D"]:
    """Computes `lax.conv_general_dilated` over one to three axes.

    On a CPU, only reverse-mode gradients are possible.

    Args:
        x: the images, channels last.
        kernel: the kernel.
        strides: a number for each axis.
        padding: a pair of numbers for each axis.
        **options: those that nnx.Conv passes for one group without dilation.

    Raises:
        ValueError: several groups, or dilation.
    """
    dilated = {
        *(options.get("rhs_dilation") or ()),
        *(options.get("lhs_dilation") or ()),
    }
    if options.get("feature_group_count", 1) != 1 or dilated - {1}:
        raise ValueError(f"conv has neither groups nor dilation: {options}.")
    if kernel.ndim <= 3 or not is_ours():
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    pads = tuple(map(tuple, padding))
    # As in XLA, the sum is in float32 at least, and rounded once.
    if kernel.shape[:-1] == x.shape[1:] and not any(map(any, pads)):
        y = _whole_image(_wide(x), _wide(kernel), tuple(strides), pads)
    else:
        y = _windows(x, kernel, tuple(strides), pads)
    return y.astype(x.dtype)


def is_ours() -> bool:
    """Whether `conv` and pooling use our CPU implementation, for two or three axes."""
    return jax.default_backend() == "cpu" and not by_xla.value


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _whole_image(x, kernel, strides, padding):
    """Convolves with a kernel as large as the image; the result is one pixel."""
    y = x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
    return y.reshape(len(x), *(1,) * (x.ndim - 2), -1)


def _windows(x, kernel, strides, padding):
    """Convolves images or clips in the fastest form; float32 at least."""
    if winograd.is_faster(x, kernel, strides, padding):
        return winograd.convolve(x, kernel, padding)
    if kernel.ndim == 4:
        return _conv2d(x, kernel, strides, padding)
    return _conv3d(_wide(x), _wide(kernel), strides, padding)


def _conv3d(x, kernel, strides, padding):
    """Sums a 2-D convolution for every frame of the kernel."""
    (before, after), *pads = padding
    step, *steps = strides
    num_out = (x.shape[1] + before + after - len(kernel)) // step + 1

    def conv2d(frames, kernel):
        folded = frames.reshape(-1, *frames.shape[2:])
        y = _windows(folded, kernel, tuple(steps), tuple(pads))
        return y.reshape(*frames.shape[:2], *y.shape[1:])

    if len(kernel) > 1 and len(kernel) * x.shape[-1] <= 16:
        # With so few channels a 2-D convolution is slow: stack those of the frames.
        x = _pad_time(x, before, after)
        end = (num_out - 1) * step + 1
        neighbours = [x[:, a : a + end : step] for a in range(len(kernel))]
        return conv2d(jnp.concatenate(neighbours, -1), jnp.concatenate(kernel, -2))
    parts = []
    for a, kernel_2d in enumerate(kernel):
        # Output frame i needs input frame i * step + offset, if that exists.
        offset = a - before
        first = max(0, -(offset // step))
        last = min(num_out - 1, (x.shape[1] - 1 - offset) // step)
        if first <= last:
            frames = x[:, first * step + offset : last * step + offset + 1 : step]
            part = conv2d(frames, kernel_2d)
            parts.append(_pad_time(part, first, num_out - 1 - last))
    return sum(parts)


def _pad_time(x, before: int, after: int):
    return jnp.pad(x, ((0, 0), (before, after), (0, 0), (0, 0), (0, 0)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv2d(x, kernel, strides, padding):
    """Convolves in float32 at least; the gradient's residuals keep their dtype."""
    x, kernel = _wide(x), _wide(kernel)
    if not _is_product(kernel, padding):
        return _xla(x, kernel, strides, padding)
    h, w = strides
    x = x[:, ::h, ::w]
    return _as_image(x, x.reshape(-1, x.shape[-1]) @ kernel[0, 0])


def _forward(x, kernel, strides, padding):
    return _conv2d(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, dy):
    x, kernel = map(_wide, saved)
    x, dy = _materialized(x), _materialized(dy)
    if _is_product(kernel, padding):
        h, w = strides
        dx = _as_image(dy, dy.reshape(-1, dy.shape[-1]) @ kernel[0, 0].T)
        if strides != (1, 1):
            dx = jnp.zeros_like(x).at[:, ::h, ::w].set(dx)
        dkernel = _product(x[:, ::h, ::w], dy)[None, None]
    else:
        (dx,) = jax.linear_transpose(lambda x: _xla(x, kernel, strides, padding), x)(dy)
        dkernel = _kernel_gradient(x, dy, kernel.shape, strides, padding)
    return tuple(d.astype(s.dtype) for d, s in zip((dx, dkernel), saved, strict=True))


_conv2d.defvjp(_forward, _backward)


def _kernel_gradient(x, dy, shape, strides, padding):
    """Computes the gradient of a kernel by matrix products.

    d kernel[a, b] = sum over frames, h, w of x[sₕ h + a, s_w w + b]ᵀ dy[h, w].

    It is a matrix product over all pixels for each row a of the kernel. The left matrix
    has a column for each b and channel; dy is shifted by a instead of it. With few
    channels, it is one product for the whole kernel.
    """
    kh, kw, C, _ = shape
    (sh, sw), ((pad_top, _), (pad_left, _)) = strides, padding
    _, H, W, _ = dy.shape
    neighbours = [_strided_slice(x, b - pad_left, sw, W, axis=2) for b in range(kw)]
    if kw * C < 64:
        shifted = [
            _strided_slice(y, a - pad_top, sh, H) for a in range(kh) for y in neighbours
        ]
        return _product(_materialized(jnp.concatenate(shifted, -1)), dy).reshape(shape)
    columns = jnp.concatenate(neighbours, -1)
    phases = [_materialized(columns[:, phase::sh]) for phase in range(sh)]
    rows = []
    for a in range(kh):
        row_shift, phase = divmod(a - pad_top, sh)
        x_rows = phases[phase]
        shifted_dy = _strided_slice(dy, -row_shift, 1, x_rows.shape[1])
        rows.append(_product(x_rows, _materialized(shifted_dy)))
    return jnp.stack(rows).reshape(shape)


def _strided_slice(x, first: int, step: int, size: int, axis: int = 1):
    """Takes entries first + step * i of an axis, i < `size`; 0 outside of the axis."""
    missing = first + step * (size - 1) + 1 - x.shape[axis]
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (-first, missing, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), pads)
    return lax.slice_in_dim(x, 0, None, step, axis)


def _product(x, dy):
    """Computes the sum over all pixels of xᵀ dy: [..., C], [..., D] → [C, D]."""
    x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    over_pixels = (((0,), (0,)), ((), ()))
    if x.shape[1] <= dy.shape[1]:  # XLA transposes the first operand
        return lax.dot_general(x, dy, over_pixels)
    return lax.dot_general(dy, x, over_pixels).T


def _materialized(x):
    """Makes XLA compute `x` once, and store it row by row, channels last.

    Otherwise XLA would compute it again for each use, in the transposed order that a
    matrix product needs. That is several times slower than a transposed copy.
    """
    return lax.optimization_barrier(x.reshape(-1)).reshape(x.shape)


def _is_product(kernel, padding) -> bool:
    return kernel.shape[:2] == (1, 1) and not any(map(any, padding))


def _as_image(x, rows):
    """Reshapes a matrix with a row for each pixel of `x` to an image."""
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def _xla(x, kernel, strides, padding):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=layout
    )
