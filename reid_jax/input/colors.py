"""Changes the colours of clips on the device, as if other cameras had filmed them.

The host draws the changes (`jitter`). Pixels stay uint8, so that erased boxes can be
painted afterwards in their exact colour, and readers of batches see no difference.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, UInt8

from reid_jax.arrays import Array
from reid_jax.input.jitter import Colors

_GREY = (0.2989, 0.587, 0.114)
"""Weights of R, G and B in a grey picture: ITU-R BT.601, as in torchvision."""

_WHITE = 255.0


def change(
    clips: UInt8[Array, "B T H W 3"], colors: Colors
) -> UInt8[Array, "B T H W 3"]:
    """Changes the colours of clips; after each step values are cut to 0..255.

    In this order:
    - Brightness multiplies the picture.
    - Contrast mixes it with the mean of its grey picture, saturation with its grey
      picture; factors above 1 extrapolate.
    - Hue turns H of HSV.
    - Gains multiply the channels (von Kries' model of white balance).
    - Gamma is an exponent on values in 0..1.
    - Auto-contrast stretches each channel of each picture to 0..255; a constant channel
      stays.
    - Greyscale puts the grey picture into all three channels.
    - The Gaussian blur repeats the picture's edges.

    Source: torchvision's ColorJitter, adjust_gamma, autocontrast, RandomGrayscale and
    GaussianBlur, but for the gains.
    Differs: a fixed order in place of a random one, which would compute all orders;
    edges in place of reflection, which needs frames larger than the kernel; rounded
    once.
    """
    x = clips.astype(jnp.float32)
    if colors.brightness is not None:
        x = _cut(x * _per_pixel(colors.brightness))
    if colors.contrast is not None:
        mean = _grey(x).mean(axis=(2, 3, 4), keepdims=True)
        x = _mix(x, mean, colors.contrast)
    if colors.saturation is not None:
        x = _mix(x, _grey(x), colors.saturation)
    if colors.hue is not None:
        x = _turn_hue(x, _per_pixel(colors.hue)[..., 0])
    if colors.gain is not None:
        x = _cut(x * colors.gain[:, :, None, None, :])
    if colors.gamma is not None:
        x = _WHITE * (x / _WHITE) ** _per_pixel(colors.gamma)
    if colors.autocontrast is not None:
        x = jnp.where(_per_pixel(colors.autocontrast), _stretched(x), x)
    if colors.grayscale is not None:
        x = jnp.where(_per_pixel(colors.grayscale), _grey(x), x)
    if colors.blur is not None:
        x = _blurred(_blurred(x, colors.blur, axis=2), colors.blur, axis=3)
    return _cut(jnp.round(x)).astype(jnp.uint8)


def _per_pixel(values: Array) -> Array:
    """Reshapes [B, T] to [B, T, 1, 1, 1], to broadcast over pixels and channels."""
    return values[:, :, None, None, None]


def _cut(x: Array) -> Array:
    return jnp.clip(x, 0, _WHITE)


def _grey(x: Float[Array, "B T H W 3"]) -> Float[Array, "B T H W 1"]:
    red, green, blue = (x[..., channel] for channel in range(3))
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[..., None]


def _mix(x: Array, other: Array, share: Float[Array, "B T"]) -> Array:
    share = _per_pixel(share)
    return _cut(share * x + (1 - share) * other)


def _turn_hue(
    x: Float[Array, "B T H W 3"], turns: Float[Array, "B T 1 1"]
) -> Float[Array, "B T H W 3"]:
    """Turns the hue by `turns` of a full circle, without leaving RGB.

    With the hue h in sixths of a circle, a channel is V - C max(0, min(k, 4 - k, 1)),
    where k = n + h modulo 6 and n is 5, 3, 1 for R, G, B. V is the largest channel, C
    the largest minus the smallest.

    Source: the hexagon of HSV (Smith 1978).
    """
    red, green, blue = (x[..., channel] for channel in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    divisor = jnp.where(chroma > 0, chroma, 1)
    # Not `value == red`: a compiler may compute the two separately and round them
    # differently.
    hue = jnp.where(
        (red >= green) & (red >= blue),
        (green - blue) / divisor,
        jnp.where(
            green >= blue, 2 + (blue - red) / divisor, 4 + (red - green) / divisor
        ),
    )
    k = (jnp.array([5.0, 3.0, 1.0]) + (hue + 6 * turns)[..., None]) % 6
    return value[..., None] - chroma[..., None] * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)


def _stretched(x: Float[Array, "B T H W 3"]) -> Float[Array, "B T H W 3"]:
    """Stretches each channel of each picture to 0..255."""
    low, high = x.min(axis=(2, 3), keepdims=True), x.max(axis=(2, 3), keepdims=True)
    span = high - low
    # A span below half a level is rounding: the channel is constant.
    is_flat = span < 0.5
    return jnp.where(is_flat, x, (x - low) * (_WHITE / jnp.where(is_flat, 1, span)))


def _blurred(
    x: Float[Array, "B T H W 3"], kernels: Float[Array, "B T taps"], *, axis: int
) -> Float[Array, "B T H W 3"]:
    """Convolves along one axis with a kernel for each frame; edges are repeated."""
    radius = kernels.shape[-1] // 2
    pads = [(0, 0)] * x.ndim
    pads[axis] = (radius, radius)
    padded = jnp.pad(x, pads, mode="edge")
    length = x.shape[axis]
    return sum(
        _per_pixel(kernels[..., tap])
        * jax.lax.slice_in_dim(padded, tap, tap + length, axis=axis)
        for tap in range(kernels.shape[-1])
    )
