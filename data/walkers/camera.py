"""Cameras: their view, lens and sensor, and how they render colours."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers import looks
from data.walkers.draws import between, normal, pytree, stream
from data.walkers.looks import Look
from data.walkers.style import Style


@pytree
class Camera:
    """Everything that is the same in all tracklets of a camera."""

    heading: Array
    """Direction of the path people walk, -pi to pi; 0 comes towards the camera."""
    elevation: Array
    """Downward tilt of the view in rad, within the style's range."""
    distance: Array
    """Distance to the person, 5 to 25 m; sets the perspective."""
    figure_px: Array
    """Height of a box in sensor pixels, within the style's range.

    Small values are more frequent.
    """
    gain: Float[Array, "3"]
    """Exposure 0.72 to 1.30, times white balance 0.85 to 1.17 per channel."""
    bend: Array
    """Tone curve x + b x (1 - x), b from -0.35 (dark middle tones) to 0.30."""
    saturation: Array
    """Saturation of colours, 0.5 to 1.4; 0 would be grey."""
    contrast: Array
    """Contrast around mid-grey, factor 0.9 to 1.5; blacks and whites are clipped."""
    haze: Array
    """Light added to every pixel, 0 to 0.06."""
    blur: Array
    """Standard deviation of the lens blur, 0.3 to 0.9 sensor pixels."""
    sharpening: Array
    """Halo of the camera's sharpening filter, 0 to 0.8."""
    noise: Array
    """Standard deviation of the sensor noise, 0.006 to 0.030."""
    interlace: Array
    """Share of a frame's motion between its two fields: 0 (70 %) or 0.2 to 0.6."""
    quality: Array
    """JPEG quality of the files, 55 to 92."""
    light: Float[Array, "3"]
    """Unit vector towards the light: image right, image up, towards the camera."""
    ambient: Array
    """Light on surfaces that face away from it, 0.55 (sun) to 0.9 (overcast)."""
    shadow: Array
    """Darkness of the shadow on the ground, 0.05 to 0.55."""
    look: Look | None = None
    """What makes people hard to recognise, in worlds with a `Variety`; else None."""


def sample_camera(key, camid, style: Style) -> Camera:
    """Camera `camid` of a world; headings depend on it, so that views differ."""
    n = stream(key, 40)
    spread = style.color

    def about(low, high):
        """A factor near 1, in a range that grows with the style's `color`."""
        return 1 + spread * (between(n(), low, high) - 1)

    heading = jnp.pi * (0.29 * camid + 0.2 * n())
    balance = jnp.stack([about(0.88, 1.12) for _ in range(3)])
    light = jnp.stack([between(n(), -0.8, 0.8), between(n(), 0.4, 0.9), 0.6])
    low, high = style.figure_px
    ambient = between(n(), 0.55, 0.90)
    look = None
    if style.variety is not None:
        look = looks.sample_look(jax.random.fold_in(key, 1), style.variety)
    return Camera(
        heading=heading + normal(n(), 0.1),
        elevation=between(n(), *style.elevation),
        distance=between(n(), 5.0, 25.0),
        figure_px=low * (high / low) ** n(),
        gain=about(0.72, 1.30) * balance / balance.mean(),
        bend=spread * between(n(), -0.35, 0.30),
        saturation=about(0.5, 1.4),
        contrast=about(0.90, 1.50),
        haze=spread * 0.06 * n() ** 2,
        blur=between(n(), 0.3, 0.9),
        sharpening=0.8 * n(),
        noise=between(n() ** 1.5, 0.006, 0.030),
        interlace=jnp.where(n() < 0.7, 0.0, between(n(), 0.2, 0.6)),
        quality=jnp.round(between(n(), 55, 92)),
        light=light / jnp.linalg.norm(light),
        ambient=ambient,
        shadow=between(n(), 0.05, 0.25) + 0.3 * (0.9 - ambient) / 0.35,
        look=look,
    )


def expose(
    image: Float[Array, "3 H W"], camera: Camera, light: Array
) -> Float[Array, "3 H W"]:
    """The colours a camera makes of a scene; `light` is a factor on the brightness."""
    look = camera.look
    image = image * (camera.gain * light)[:, None, None]
    if look is not None:  # fog is in front of the scene, and exposed like it
        veil = look.veil[:, None, None]
        image = image + veil * ((camera.gain * light)[:, None, None] - image)
    image = jnp.clip(image, 0.0, 1.1)
    image = image + camera.bend * image * (1.0 - image)
    image = 0.45 + camera.contrast * (image - 0.45)
    luma = image.mean(0, keepdims=True)
    image = luma + camera.saturation * (image - luma)
    if look is None:
        return camera.haze + (1 - camera.haze) * jax.nn.relu(image)
    black = camera.haze + look.black
    image = black + (look.white - black) * jax.nn.relu(image)
    white = jnp.where(look.white < 1, look.white, jnp.inf)
    return jnp.minimum(image, white) * look.tint[:, None, None]
