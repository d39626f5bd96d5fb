"""Adds white Gaussian noise to clips; it does not depend on the batch size."""

import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import UInt8

from reid_jax.arrays import Array

SPLITS = ("query", "gallery")
"""Splits that get noise. Training tracklets, for learnt metrics, get none."""


@jax.jit
def add_noise(
    clips: UInt8[Array, "B T H W 3"], variance, keys
) -> UInt8[Array, "B T H W 3"]:
    """Adds noise to every pixel and channel of clips.

    `variance` is for pixel values in [0, 1]. `keys` has a random key for each clip.
    Source: Kansal & Subramanyam 2018, Sec. V: variances 1e-4 to 3e-3.
    """
    noise = variance**0.5 * draw_each(jax.random.normal, keys, clips.shape[1:])
    return jnp.clip(jnp.round(clips + 255 * noise), 0, 255).astype(jnp.uint8)


def draw_each(draw: Callable, keys, shape: tuple[int, ...], **options) -> jax.Array:
    """Calls `draw(key, shape)` with the key of each clip; stacks the results."""
    return jax.vmap(lambda key: draw(key, shape=shape, **options))(keys)


def clip_keys(seed: int, split: str, first: int, num: int) -> jax.Array:
    """Returns the random keys of the clips `first` to `first + num - 1` of a split.

    The keys of query and gallery are independent. The same clip has the same key at
    every noise level and batch size.
    """
    split_key = jax.random.fold_in(jax.random.key(seed), SPLITS.index(split))
    return jax.vmap(jax.random.fold_in, (None, 0))(split_key, first + jnp.arange(num))


def noisy(
    batches: Iterator[dict],
    split: str,
    variance: float,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[dict]:
    """Adds noise to the `clips` of a split's evaluation batches.

    `share` is that of `source.Source.eval_batches`.
    """
    if not variance or split not in SPLITS:
        yield from batches
        return
    for number, batch in zip(itertools.count(*share), batches, strict=False):
        num = len(batch["tracklet"])
        keys = clip_keys(seed, split, number * num, num)
        yield batch | {"clips": add_noise(batch["clips"], variance, keys)}
