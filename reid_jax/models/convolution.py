"""Convolution in a form that XLA also runs fast on a CPU.

XLA's own gradient of a kernel takes 3 to 15 times as long there as PyTorch's, its 3-D
convolution 2 to 3.5 times (--xla of benchmarks/networks.py), and one whose kernel is as
large as the image far longer than the same product. Its matrix products and its 2-D
convolution do not. So here a 1×1 convolution, one of the whole image and the gradient
of other kernels are matrix products, and a 3-D convolution is a sum of 2-D ones. Other
devices get XLA's own, and so does a CPU within `by_xla(True)`.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from reid_jax.arrays import Array

by_xla = jax.make_user_context(default_value=False)
"""`with by_xla(True):` traces XLA's own convolutions and pooling on a CPU too.

For programs that leave this machine. `jax.jit` sees the difference.
"""


def conv(
    x: Float[Array, "B ... C"],
    kernel: Float[Array, "... C D"],
    strides,
    padding,
    **options,
) -> Float[Array, "B ... D"]:
    """`lax.conv_general_dilated` over one to three axes, `padding` as pairs of numbers.

    `options` are those that nnx.Conv adds to a plain convolution: channels last, one
    group, no dilation; ValueError for others. On a CPU there is a gradient in reverse
    mode only.
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
    # As in XLA's own, the sum is one of at least float32, rounded once.
    if kernel.shape[:-1] == x.shape[1:] and not any(map(any, pads)):
        y = _whole(_wide(x), _wide(kernel), tuple(strides), pads)
    elif kernel.ndim == 4:
        y = _conv2d(x, kernel, tuple(strides), pads)
    else:
        y = _conv3d(_wide(x), _wide(kernel), tuple(strides), pads)
    return y.astype(x.dtype)


def is_ours() -> bool:
    """Whether `conv`, over two or three axes, and pooling are not left to XLA."""
    return jax.default_backend() == "cpu" and not by_xla.value


def _wide(x):
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _whole(x, kernel, strides, padding):
    """Of a kernel as large as the image: one pixel."""
    y = x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1])
    return y.reshape(len(x), *(1,) * (x.ndim - 2), -1)


def _conv3d(x, kernel, strides, padding):
    """A 2-D convolution for every frame of the kernel, summed."""
    (before, after), *pads = padding
    step, *steps = strides
    num_out = (x.shape[1] + before + after - len(kernel)) // step + 1

    def conv2d(frames, kernel):
        folded = frames.reshape(-1, *frames.shape[2:])
        y = _conv2d(folded, kernel, tuple(steps), tuple(pads))
        return y.reshape(*frames.shape[:2], *y.shape[1:])

    if len(kernel) > 1 and len(kernel) * x.shape[-1] <= 16:
        # Pixels alone are too few channels to be fast: neighbouring frames add theirs.
        x = _pad_time(x, before, after)
        end = (num_out - 1) * step + 1
        neighbours = [x[:, a : a + end : step] for a in range(len(kernel))]
        return conv2d(jnp.concatenate(neighbours, -1), jnp.concatenate(kernel, -2))
    parts = []
    for a, kernel_2d in enumerate(kernel):
        # Output frame i meets input frame i * step + offset, where there is one.
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
    """In at least float32; what is kept for the gradient stays as narrow as it is."""
    x, kernel = _wide(x), _wide(kernel)
    if not _is_product(kernel, padding):
        return _xla(x, kernel, strides, padding)
    h, w = strides
    x = x[:, ::h, ::w]
    return _of_rows(x, x.reshape(-1, x.shape[-1]) @ kernel[0, 0])


def _forward(x, kernel, strides, padding):
    return _conv2d(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, dy):
    x, kernel = map(_wide, saved)
    x, dy = _settled(x), _settled(dy)
    if _is_product(kernel, padding):
        h, w = strides
        dx = _of_rows(dy, dy.reshape(-1, dy.shape[-1]) @ kernel[0, 0].T)
        if strides != (1, 1):
            dx = jnp.zeros_like(x).at[:, ::h, ::w].set(dx)
        dkernel = _product(x[:, ::h, ::w], dy)[None, None]
    else:
        (dx,) = jax.linear_transpose(lambda x: _xla(x, kernel, strides, padding), x)(dy)
        dkernel = _kernel_gradient(x, dy, kernel.shape, strides, padding)
    return tuple(d.astype(s.dtype) for d, s in zip((dx, dkernel), saved, strict=True))


_conv2d.defvjp(_forward, _backward)


def _kernel_gradient(x, dy, shape, strides, padding):
    """d kernel[a, b] = sum over frames, h, w of x[sₕ h + a, s_w w + b]ᵀ dy[h, w].

    A product over all pixels for each row a of the kernel: the left matrix has columns
    for every b and channel; not it but dy is moved by a. With few channels one product
    for the whole kernel.
    """
    kh, kw, C, _ = shape
    (sh, sw), ((top, _), (left, _)) = strides, padding
    _, H, W, _ = dy.shape
    neighbours = [_part(x, b - left, sw, W, axis=2) for b in range(kw)]
    if kw * C < 64:
        every = [_part(y, a - top, sh, H) for a in range(kh) for y in neighbours]
        return _product(_settled(jnp.concatenate(every, -1)), dy).reshape(shape)
    wide = jnp.concatenate(neighbours, -1)
    phases = [_settled(wide[:, phase::sh]) for phase in range(sh)]
    rows = []
    for a in range(kh):
        later, phase = divmod(a - top, sh)
        left = phases[phase]
        moved = _part(dy, -later, 1, left.shape[1])
        rows.append(_product(left, _settled(moved)))
    return jnp.stack(rows).reshape(shape)


def _part(x, first: int, step: int, size: int, axis: int = 1):
    """Entries first + step * i of an axis, i below `size`; 0 where there are none."""
    missing = first + step * (size - 1) + 1 - x.shape[axis]
    pads = [(0, 0, 0)] * x.ndim
    pads[axis] = (-first, missing, 0)
    x = lax.pad(x, jnp.zeros((), x.dtype), pads)
    return lax.slice_in_dim(x, 0, None, step, axis)


def _product(x, dy):
    """[..., C], [..., D] → [C, D]: the sum over all pixels of xᵀ dy."""
    x, dy = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
    over_pixels = (((0,), (0,)), ((), ()))
    if x.shape[1] <= dy.shape[1]:  # XLA transposes the first one
        return lax.dot_general(x, dy, over_pixels)
    return lax.dot_general(dy, x, over_pixels).T


def _settled(x):
    """`x` computed once, in memory as it is: row after row, channels last.

    XLA would compute what leads to it anew for each use, and in the transposed order
    that a product asks for, which is several times slower than a transposed copy.
    """
    return lax.optimization_barrier(x.reshape(-1)).reshape(x.shape)


def _is_product(kernel, padding) -> bool:
    return kernel.shape[:2] == (1, 1) and not any(map(any, padding))


def _of_rows(x, rows):
    """A matrix with a row for each pixel of `x`, as an image again."""
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def _xla(x, kernel, strides, padding):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=layout
    )
