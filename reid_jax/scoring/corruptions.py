"""What can happen to a camera's pictures: changes of clips for tests of robustness.

Each takes clips uint8 [B, T, H, W, 3], how much of it, and a random key for each clip,
and gives clips of the same kind. `CORRUPTIONS` names them with their unit and usual
levels.
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
    """A change of clips: `apply(clips, level, keys, embed)`.

    `embed` maps clips (uint8, or float in 0..255) to embeddings [B, D]; it is a
    `jax.tree_util.Partial` that holds the weights. Attacks look for the worst change
    through it, the others do not use it.
    """

    apply: Callable[..., Clips]
    unit: str
    levels: tuple[Level, ...]
    limits: tuple[Level, Level]
    whole: bool = False  # whether only whole numbers are levels


def gaussian_noise(clips: Clips, variance: Level, keys) -> Clips:
    """White Gaussian noise of a variance in [0, 1]² on every pixel and channel.

    Source: Kansal & Subramanyam 2018, Sec. V: variances 1e-4 to 3e-3.
    """
    return np.asarray(add_noise(clips, variance, keys))


def blur(clips: Clips, sigma: Level, keys) -> Clips:
    """Gaussian blur, sigma in pixels of the network's frames."""
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
    """A share of the light: linear intensities times `exposure`, in eight bits."""
    linear = (jnp.asarray(clips, jnp.float32) / 255) ** 2.2
    return _to_uint8(255 * (exposure * linear) ** (1 / 2.2))


def jpeg(clips: Clips, quality: Level, keys) -> Clips:
    """Every frame through JPEG of a quality in 1..100."""
    frames = np.asarray(clips).reshape(-1, *clips.shape[2:])
    decoded = np.stack([_through_jpeg(frame, int(quality)) for frame in frames])
    return decoded.reshape(clips.shape)


def dropped_frames(clips: Clips, share: Level, keys) -> Clips:
    """Frames that are lost, each with probability `share`: the last one stays on.

    A clip's first frame is never lost.
    """
    T = clips.shape[1]
    lost = (
        draw_each(jax.random.bernoulli, keys, (T,), p=float(share)).at[:, 0].set(False)
    )
    shown = jnp.where(lost, 0, jnp.arange(T))
    shown = np.asarray(jax.lax.cummax(shown, axis=1))
    return np.take_along_axis(np.asarray(clips), shown[:, :, None, None, None], axis=1)


def occluding_bar(clips: Clips, share: Level, keys) -> Clips:
    """An upright grey bar over `share` of the width, still for the whole clip."""
    W = clips.shape[3]
    places, shades = jnp.moveaxis(jax.vmap(jax.random.split)(keys), 1, 0)
    left = draw_each(jax.random.uniform, places, (1,), maxval=1 - share) * W
    x = jnp.arange(W) + 0.5
    covered = ((x >= left) & (x < left + share * W))[:, None, None, :, None]
    shade = draw_each(jax.random.randint, shades, (1, 1, 1, 1), minval=0, maxval=256)
    return _to_uint8(jnp.where(covered, shade, jnp.asarray(clips)))


def fgsm(clips: Clips, epsilon: Level, keys, embed: Callable) -> Clips:
    """One step of the gradient's sign that moves the embedding away from its own.

    Every value moves by at most `epsilon` of 255. The gradient is 0 where nothing has
    moved, so that the step starts from a random place.
    Source: Goodfellow et al. 2015; random start: Wong et al. 2020.
    """
    return _attack(clips, epsilon, keys, embed, step=epsilon, num_steps=1)


def pgd(clips: Clips, epsilon: Level, keys, embed: Callable) -> Clips:
    """As `fgsm`, ten steps of a quarter of `epsilon` (Madry et al. 2018)."""
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
    # Whole numbers towards the clip: never outside of what is allowed.
    return _to_uint8(x + jnp.trunc(attacked - x))


def _squared_distance(
    clips: Float[Array, "B T H W 3"], reference: Float[Array, "B D"], embed: Callable
) -> Float[Array, ""]:
    return jnp.sum((embed(clips) - reference) ** 2)


# `embed` is a pytree: its weights are arguments of the program, not constants in it.
_gradient = jax.jit(jax.grad(_squared_distance))


def _without_network(change: Callable) -> Callable:
    return functools.wraps(change)(
        lambda clips, level, keys, embed: change(clips, level, keys)
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
        whole=True,
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
        fgsm, unit=_CHANGE, levels=(1, 2, 4, 8), limits=(1, 255), whole=True
    ),
    "pgd": Corruption(
        pgd, unit=_CHANGE, levels=(1, 2, 4, 8), limits=(1, 255), whole=True
    ),
}


def _through_jpeg(frame: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def _to_uint8(x) -> np.ndarray:
    return np.asarray(jnp.clip(jnp.round(x), 0, 255).astype(jnp.uint8))
