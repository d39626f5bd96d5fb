"""3-D convolution in a form that XLA also runs fast on a CPU.

XLA's own takes about 2 to 3.5 times as long there as PyTorch's (--xla of
benchmarks/conv3d.py). Its 2-D convolutions and matrix products do not, and a 3-D
convolution is a sum of those. Other devices get XLA's own.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Float

from reid_jax.arrays import Array


def conv3d(
    x: Float[Array, "B T H W C"],
    kernel: Float[Array, "kt kh kw C D"],
    strides,
    padding,
    **options,
) -> Float[Array, "B T2 H2 W2 D"]:
    """`lax.conv_general_dilated` of clips, `padding` as pairs of numbers.

    `options` are those that nnx.Conv adds to a plain convolution: channels last, one
    group, no dilation; ValueError for others. On a CPU there is a gradient in reverse
    mode only.
    """
    dilated = {
        *(options.get("rhs_dilation") or ()),
        *(options.get("lhs_dilation") or ()),
    }
    if options.get("feature_group_count", 1) != 1 or dilated - {1}:
        raise ValueError(f"conv3d has neither groups nor dilation: {options}.")
    if jax.default_backend() != "cpu":
        return lax.conv_general_dilated(x, kernel, strides, padding, **options)
    # As in XLA's own, the sum is one of at least float32, rounded once.
    dtype = jnp.promote_types(x.dtype, jnp.float32)
    y = _on_cpu(x.astype(dtype), kernel.astype(dtype), tuple(strides), tuple(padding))
    return y.astype(x.dtype)


def _by_parts(x, kernel, strides, padding):
    """A matrix product, or a 2-D convolution for every frame of the kernel, summed."""
    if kernel.shape[:3] == (1, 1, 1) and not any(map(any, padding)):
        t, h, w = strides
        return x[:, ::t, ::h, ::w] @ kernel[0, 0, 0]
    (before, after), *pads = padding
    step, *steps = strides
    num_out = (x.shape[1] + before + after - len(kernel)) // step + 1

    def conv2d(frames, kernel):
        y = lax.conv_general_dilated(
            frames.reshape(-1, *frames.shape[2:]),
            kernel,
            steps,
            pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        return y.reshape(*frames.shape[:2], *y.shape[1:])

    if len(kernel) * x.shape[-1] <= 16:
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


def _forward(x, kernel, strides, padding):
    return _by_parts(x, kernel, strides, padding), (x, kernel)


def _backward(strides, padding, saved, dy):
    # The barrier keeps XLA from computing x and dy anew for each part that uses them.
    (x, kernel), dy = lax.optimization_barrier((saved, dy))

    def of_x(x):
        return _by_parts(x, kernel, strides, padding)

    def of_kernel(kernel):
        return _by_parts(x, kernel, strides, padding)

    (dx,) = jax.linear_transpose(of_x, x)(dy)
    _, _, H, W, _ = dy.shape
    if H * W >= 512 and strides == (1, 1, 1) and kernel.shape[:3] != (1, 1, 1):
        return dx, _kernel_gradient(x, dy, kernel.shape, padding)
    (dkernel,) = jax.linear_transpose(of_kernel, kernel)(dy)
    return dx, dkernel


_on_cpu = jax.custom_vjp(_by_parts, nondiff_argnums=(2, 3))
_on_cpu.defvjp(_forward, _backward)


def _kernel_gradient(x, dy, shape, padding):
    """d kernel[a, b, c] = sum over t, h, w of x[t + a, h + b, w + c]ᵀ dy[t, h, w].

    For stride 1 and large frames, where XLA's 2-D gradients are slow as well: a matrix
    product over the pixels of one frame of dy at a time. The left matrix has rows for
    every a, c and channel. Rather than copy it for every b too, dy moves up and down
    between rows of zeros.
    """
    kt, kh, kw, C, D = shape
    _, T, _, W, _ = dy.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    x = lax.optimization_barrier(jnp.moveaxis(x, -1, 0))

    def add_frame(total, t):
        clip = lax.dynamic_slice_in_dim(x, t, kt, axis=2)
        rows = [clip[:, :, a, :, c : c + W] for a in range(kt) for c in range(kw)]
        left = lax.optimization_barrier(jnp.stack(rows))
        frame = lax.dynamic_index_in_dim(dy, t, axis=1, keepdims=False)
        for b in range(kh):
            moved = jnp.pad(frame, ((0, 0), (b, kh - 1 - b), (0, 0), (0, 0)))
            product = jnp.einsum("kcbhw,bhwd->kcd", left, moved)
            total = total.at[b].add(product)
        return total, None

    zeros = jnp.zeros((kh, kt * kw, C, D), dy.dtype)
    total, _ = lax.scan(add_frame, zeros, jnp.arange(T))
    return jnp.moveaxis(total.reshape(kh, kt, kw, C, D), 0, 1)
