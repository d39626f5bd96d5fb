"""Corruptions and attacks of clips, for tests of robustness.

Each function maps clips uint8 [B, T, H, W, 3], a level (how strong it is) and a random
key per clip to clips of the same shape and type. `CORRUPTIONS` lists them by name, with
unit and default levels.
"""

import dataclasses
import functools
import io
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from reid_jax.arrays import Array
from reid_jax.input.noise import add_noise, draw_each

Clips = UInt8[Array, "B T H W 3"]
Level = float | int
_PGD_STEPS = 10


@dataclasses.dataclass(frozen=True)
class Corruption:
    """A change of clips, `apply(clips, level, keys, embed)`, and its levels.

    `embed` maps clips (uint8, or float in 0..255) to embeddings [B, D]; it is a
    `jax.tree_util.Partial` that holds the weights. Attacks use it to find the worst
    change; the others ignore it. `levels` are the default ones, `limits` the smallest
    and largest level allowed.
    """

    apply: Callable[..., Clips]
    unit: str
    levels: tuple[Level, ...]
    limits: tuple[Level, Level]
    is_integer: bool = False  # whether levels are whole numbers


def gaussian_noise(clips: Clips, variance: Level, keys) -> Clips:
    """Adds white Gaussian noise to every pixel and channel.

    `variance` is for pixel values in 0..1.

    Source: Kansal & Subramanyam 2018, Sec. V: variances 1e-4 to 3e-3.
    """
    return np.asarray(add_noise(clips, variance, keys))


def blur(clips: Clips, sigma: Level, keys) -> Clips:
    """Blurs by a Gaussian; `sigma` is in pixels of the network's frames."""
    x = np.asarray(clips, np.float32)
    radius = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (2, 3):
        width = [(0, 0)] * 5
        width[axis] = (radius, radius)
        padded = np.pad(x, width, mode="edge")
        x = sum(
            weight * padded.take(range(i, i + x.shape[axis]), axis)
            for i, weight in enumerate(kernel.astype(np.float32))
        )
    return _to_uint8(x)


def low_light(clips: Clips, exposure: Level, keys) -> Clips:
    """Darkens: multiplies linear intensities by `exposure`, rounded to eight bits."""
    linear = (jnp.asarray(clips, jnp.float32) / 255) ** 2.2
    return _to_uint8(255 * (exposure * linear) ** (1 / 2.2))


def jpeg(clips: Clips, quality: Level, keys) -> Clips:
    """Compresses every frame as JPEG of a `quality` in 1..100."""
    frames = np.asarray(clips).reshape(-1, *clips.shape[2:])
    decoded = np.stack([_through_jpeg(frame, int(quality)) for frame in frames])
    return decoded.reshape(clips.shape)


def dropped_frames(clips: Clips, share: Level, keys) -> Clips:
    """Drops frames with probability `share`; the frame before is shown in its place.

    A clip's first frame is never dropped.
    """
    T = clips.shape[1]
    is_dropped = (
        draw_each(jax.random.bernoulli, keys, (T,), p=float(share)).at[:, 0].set(False)
    )
    frame_ids = jnp.where(is_dropped, 0, jnp.arange(T))
    frame_ids = np.asarray(jax.lax.cummax(frame_ids, axis=1))
    return np.take_along_axis(
        np.asarray(clips), frame_ids[:, :, None, None, None], axis=1
    )


def occluding_bar(clips: Clips, share: Level, keys) -> Clips:
    """Covers `share` of the width by a vertical grey bar, fixed for the whole clip."""
    W = clips.shape[3]
    position_keys, shade_keys = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    left = draw_each(jax.random.uniform, position_keys, (1,), maxval=1 - share) * W
    x = jnp.arange(W) + 0.5
    is_covered = ((x >= left) & (x < left + share * W))[:, None, None, :, None]
    shade = draw_each(
        jax.random.randint, shade_keys, (1, 1, 1, 1), minval=0, maxval=256
    )
    return _to_uint8(jnp.where(is_covered, shade, jnp.asarray(clips)))


def fgsm(clips: Clips, epsilon: Level, keys, embed: Callable) -> Clips:
    """Moves each clip's embedding away by one step along the gradient's sign.

    Every value changes by at most `epsilon` of 255. The step starts from a random
    point, because the gradient at the clip itself is 0.

    Source: Goodfellow et al. 2015; random start: Wong et al. 2020.
    """
    return _attack(clips, epsilon, keys, embed, step=epsilon, num_steps=1)


def pgd(clips: Clips, epsilon: Level, keys, embed: Callable) -> Clips:
    """Like `fgsm`, with ten steps of a quarter of `epsilon` (Madry et al. 2018)."""
    return _attack(clips, epsilon, keys, embed, step=epsilon / 4, num_steps=_PGD_STEPS)


def _attack(clips, epsilon: Level, keys, embed, *, step: Level, num_steps: int):
    x = jnp.asarray(clips, jnp.float32)
    reference = embed(x)
    bounds = {"minval": -epsilon, "maxval": epsilon}
    attacked = x + draw_each(jax.random.uniform, keys, x.shape[1:], **bounds)
    attacked = jnp.clip(attacked, 0, 255)
    for _ in range(num_steps):
        attacked = attacked + step * jnp.sign(_gradient(attacked, reference, embed))
        attacked = jnp.clip(jnp.clip(attacked, x - epsilon, x + epsilon), 0, 255)
    # Rounded towards the clip, so that no value leaves the allowed range.
    return _to_uint8(x + jnp.trunc(attacked - x))


def _squared_distance(
    clips: Float[Array, "B T H W 3"], reference: Float[Array, "B D"], embed: Callable
) -> Float[Array, ""]:
    return jnp.sum((embed(clips) - reference) ** 2)


# `embed` is a pytree: its weights become arguments of the compiled program, not
# constants in it.
_gradient = jax.jit(jax.grad(_squared_distance))


def _without_network(corrupt: Callable) -> Callable:
    return functools.wraps(corrupt)(
        lambda clips, level, keys, embed: corrupt(clips, level, keys)
    )


_CHANGE = "largest change of a value, of 255"
CORRUPTIONS = {
    "noise": Corruption(
        _without_network(gaussian_noise),
        unit="variance of the noise",
        levels=(1e-4, 3e-4, 1e-3, 2e-3, 3e-3),
        limits=(0, 1),
    ),
    "blur": Corruption(
        _without_network(blur),
        unit="standard deviation of the blur, pixels",
        levels=(0.5, 1, 2, 4),
        limits=(0.01, 100),
    ),
    "low_light": Corruption(
        _without_network(low_light),
        unit="share of the light",
        levels=(0.5, 0.25, 0.125, 0.0625),
        limits=(0, 1),
    ),
    "jpeg": Corruption(
        _without_network(jpeg),
        unit="JPEG quality",
        levels=(50, 30, 10, 5),
        limits=(1, 100),
        is_integer=True,
    ),
    "dropped_frames": Corruption(
        _without_network(dropped_frames),
        unit="share of the frames lost",
        levels=(0.25, 0.5, 0.75),
        limits=(0, 1),
    ),
    "bar": Corruption(
        _without_network(occluding_bar),
        unit="share of the width covered",
        levels=(0.1, 0.2, 0.4),
        limits=(0, 1),
    ),
    "fgsm": Corruption(
        fgsm, unit=_CHANGE, levels=(1, 2, 4, 8), limits=(1, 255), is_integer=True
    ),
    "pgd": Corruption(
        pgd, unit=_CHANGE, levels=(1, 2, 4, 8), limits=(1, 255), is_integer=True
    ),
}


def _through_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _to_uint8(x) -> np.ndarray:
    return np.asarray(jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8))
