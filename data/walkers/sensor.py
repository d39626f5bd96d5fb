"""The way from a scene to a frame's pixels: optics, sensor grid, noise, enlarging.

A box covers `figure_px` rows of a sensor and is then resized to the frame, like crops
of videos. Both steps are products with small matrices, one for each axis, which are the
same for the whole tracklet.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from data.walkers import compression
from data.walkers.camera import Camera, expose
from data.walkers.draws import pytree


@pytree
class Optics:
    """The matrices of a tracklet; only the first rows of the sensor's grid are used."""

    down_y: Float[Array, "H H"]
    down_x: Float[Array, "W W"]
    up_y: Float[Array, "H H"]
    up_x: Float[Array, "W W"]


def optics(camera: Camera, figure_px, smear, frame_size: tuple[int, int]) -> Optics:
    """The matrices of a tracklet.

    Args:
        camera: The camera.
        figure_px: Height of a box in sensor pixels.
        smear: Standard deviation of the motion blur across, in box heights.
        frame_size: Height and width of a frame in pixels.
    """
    height, width = frame_size
    share = jnp.clip(figure_px / height, 8 / height, 1.0)
    blur_y = jnp.hypot(camera.blur, 0.35)  # blur of the lens and of a pixel's area
    blur_x = jnp.hypot(blur_y, smear * share * height)
    up_y, up_x = _enlarge(height, share), _enlarge(width, share)
    if camera.look is not None:
        up_y, up_x = compression.undo(up_y, up_x, camera.look.blocks)
    return Optics(
        _shrink(height, share, blur_y, camera.sharpening),
        _shrink(width, share, blur_x, camera.sharpening),
        up_y,
        up_x,
    )


def _shrink(size: int, share, sigma, sharpening) -> Float[Array, "N N"]:
    """Matrix to sensor pixels; row i is a sharpened Gaussian of `sigma` of them."""
    pixels = (jnp.arange(size) + 0.5) * share - 0.5
    last = jnp.ceil(size * share) - 1
    centres = jnp.minimum(jnp.arange(size), last)[:, None]
    away = (pixels[None] - centres) / sigma
    narrow = jnp.exp(-0.5 * jnp.square(away))
    wide = jnp.exp(-0.5 * jnp.square(away / 2.2))
    narrow = narrow / (narrow.sum(1, keepdims=True) + 1e-9)
    wide = wide / (wide.sum(1, keepdims=True) + 1e-9)
    return narrow + 0.5 * sharpening * (narrow - wide)


def _enlarge(size: int, share) -> Float[Array, "N N"]:
    """Matrix from sensor pixels to frame pixels: linear interpolation."""
    last = jnp.ceil(size * share) - 1
    at = jnp.clip((jnp.arange(size) + 0.5) * share - 0.5, 0.0, last)
    return jax.nn.relu(1.0 - jnp.abs(at[:, None] - jnp.arange(size)[None]))


def sense(
    image: Float[Array, "3 H W"], camera: Camera, optics: Optics, light, comb, key
) -> UInt8[Array, "H W 3"]:
    """The frame that the sensor records of a scene, uint8 [H, W, 3].

    Args:
        image: The scene.
        camera: The camera.
        optics: Matrices of the tracklet.
        light: Factor on the scene's brightness.
        comb: Shift of odd rows in sensor pixels, from interlacing.
        key: Random key of the noise.
    """
    image = jnp.einsum("ih,chw->ciw", optics.down_y, image)
    image = jnp.einsum("ciw,jw->cij", image, optics.down_x)
    image = expose(image, camera, light)
    odd = (jnp.arange(image.shape[1]) % 2 == 1)[:, None]
    right = jnp.concatenate([image[:, :, :1], image[:, :, :-1]], 2)
    left = jnp.concatenate([image[:, :, 1:], image[:, :, -1:]], 2)
    moved = jnp.where(comb > 0, right, left)
    image = jnp.where(
        odd, image + jnp.minimum(jnp.abs(comb), 1) * (moved - image), image
    )
    # Noise is a sum of two uniform half-bytes: triangular, standard deviation 6.52.
    bits = jax.random.bits(key, image.shape, jnp.uint8)
    grain = (bits & 15).astype(jnp.float32) + (bits >> 4).astype(jnp.float32) - 15
    image = jnp.clip(image + grain * (camera.noise / 6.52), 0.0, 1.0)
    if camera.look is not None:  # `optics.up_…` then expect coefficients
        image = compression.quantize(image, camera.look.blocks)
    image = jnp.einsum("ih,chw->ciw", optics.up_y, image)
    image = jnp.einsum("ciw,jw->ijc", image, optics.up_x)
    if camera.look is not None:
        image = jnp.clip(image, 0.0, 1.0)
    return jnp.round(image * 255).astype(jnp.uint8)
