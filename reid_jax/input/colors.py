"""Colours of clips changed on the device, as other cameras would show them.

What is changed is drawn on the host (`jitter`). The pixels stay uint8: erased boxes are
painted after it in their exact colour, and whatever reads batches need not know whether
they were changed.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Float, UInt8

from reid_jax.arrays import Array
from reid_jax.input.jitter import Colors

_GREY = (0.2989, 0.587, 0.114)
"""Weights of R, G and B in a grey picture: ITU-R BT.601, as torchvision has them."""

_WHITE = 255.0


def change(
    clips: UInt8[Array, "B T H W 3"], colors: Colors
) -> UInt8[Array, "B T H W 3"]:
    """The clips with their colours changed; each step is cut to 0..255, as in a camera.

    Brightness multiplies the picture. Contrast and saturation mix it with the mean of
    its grey picture and with its grey picture (extrapolated above 1). Hue turns H of
    HSV. Gains multiply the channels: von Kries' model of white balance. Gamma is an
    exponent in 0..1. Auto-contrast stretches each channel of each picture to 0..255,
    one of a single value stays. Greyscale is the grey picture, three times. The blur
    repeats the picture's edges.
    Source: torchvision's ColorJitter, adjust_gamma, autocontrast, RandomGrayscale and
    GaussianBlur, but for the gains.
    Differs: a fixed order in place of a random one, which would compute all orders;
    edges in place of reflection, which needs frames larger than the kernel; rounded
    once.
    """
    x = clips.astype(jnp.float32)
    if colors.brightness is not None:
        x = _cut(x * _of_pixels(colors.brightness))
    if colors.contrast is not None:
        mean = _grey(x).mean(axis=(2, 3, 4), keepdims=True)
        x = _mix(x, mean, colors.contrast)
    if colors.saturation is not None:
        x = _mix(x, _grey(x), colors.saturation)
    if colors.hue is not None:
        x = _turn_hue(x, _of_pixels(colors.hue)[..., 0])
    if colors.gain is not None:
        x = _cut(x * colors.gain[:, :, None, None, :])
    if colors.gamma is not None:
        x = _WHITE * (x / _WHITE) ** _of_pixels(colors.gamma)
    if colors.autocontrast is not None:
        x = jnp.where(_of_pixels(colors.autocontrast), _stretched(x), x)
    if colors.grayscale is not None:
        x = jnp.where(_of_pixels(colors.grayscale), _grey(x), x)
    if colors.blur is not None:
        x = _blurred(_blurred(x, colors.blur, axis=2), colors.blur, axis=3)
    return _cut(jnp.round(x)).astype(jnp.uint8)


def _of_pixels(values: Array) -> Array:
    return values[:, :, None, None, None]


def _cut(x: Array) -> Array:
    return jnp.clip(x, 0, _WHITE)


def _grey(x: Float[Array, "B T H W 3"]) -> Float[Array, "B T H W 1"]:
    red, green, blue = (x[..., channel] for channel in range(3))
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue)[..., None]


def _mix(x: Array, other: Array, share: Float[Array, "B T"]) -> Array:
    share = _of_pixels(share)
    return _cut(share * x + (1 - share) * other)


def _turn_hue(
    x: Float[Array, "B T H W 3"], turns: Float[Array, "B T 1 1"]
) -> Float[Array, "B T H W 3"]:
    """Source: the hexagon of HSV (Smith 1978), its hue h in sixths of a turn.

    A channel is V - C max(0, min(k, 4 - k, 1)), with k = n + h modulo 6 and n of 5, 3
    and 1 for R, G and B; V is the largest of the three and C what the others span.
    """
    red, green, blue = (x[..., channel] for channel in range(3))
    value = jnp.maximum(jnp.maximum(red, green), blue)
    chroma = value - jnp.minimum(jnp.minimum(red, green), blue)
    divisor = jnp.where(chroma > 0, chroma, 1)
    # Not `value == red`: a compiler may compute the two apart, and round differently.
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
    low, high = x.min(axis=(2, 3), keepdims=True), x.max(axis=(2, 3), keepdims=True)
    span = high - low
    # Less than half a level is the rounding of a channel that had one value.
    is_flat = span < 0.5
    return jnp.where(is_flat, x, (x - low) * (_WHITE / jnp.where(is_flat, 1, span)))


def _blurred(
    x: Float[Array, "B T H W 3"], kernels: Float[Array, "B T taps"], *, axis: int
) -> Float[Array, "B T H W 3"]:
    radius = kernels.shape[-1] // 2
    pads = [(0, 0)] * x.ndim
    pads[axis] = (radius, radius)
    padded = jnp.pad(x, pads, mode="edge")
    length = x.shape[axis]
    return sum(
        _of_pixels(kernels[..., tap])
        * jax.lax.slice_in_dim(padded, tap, tap + length, axis=axis)
        for tap in range(kernels.shape[-1])
    )
