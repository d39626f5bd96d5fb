"""White Gaussian noise on clips, the same in batches of any size."""

import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
from jaxtyping import UInt8

from reid_jax.arrays import Array

SPLITS = ("query", "gallery")
"""Splits that noise is added to: what a metric is learnt on stays without."""


@jax.jit
def add_noise(
    clips: UInt8[Array, "B T H W 3"], variance, keys
) -> UInt8[Array, "B T H W 3"]:
    """Clips with noise of a variance in [0, 1]² on every pixel and channel.

    `keys` has a random key for each clip.
    Source: Kansal & Subramanyam 2018, Sec. V: variances 1e-4 to 3e-3.
    """
    noise = variance**0.5 * draw_each(jax.random.normal, keys, clips.shape[1:])
    return jnp.clip(jnp.round(clips + 255 * noise), 0, 255).astype(jnp.uint8)


def draw_each(draw: Callable, keys, shape: tuple[int, ...], **options) -> jax.Array:
    """`draw(key, shape)` for each clip by its own key."""
    return jax.vmap(lambda key: draw(key, shape=shape, **options))(keys)


def clip_keys(seed: int, split: str, first: int, num: int) -> jax.Array:
    """The random keys of `num` clips of a split from number `first` on.

    Query and gallery are disturbed independently, each the same way at every level and
    in batches of any size.
    """
    of_split = jax.random.fold_in(jax.random.key(seed), SPLITS.index(split))
    return jax.vmap(jax.random.fold_in, (None, 0))(of_split, first + jnp.arange(num))


def noisy(
    batches: Iterator[dict],
    split: str,
    variance: float,
    seed: int,
    share: tuple[int, int] = (0, 1),
) -> Iterator[dict]:
    """Evaluation batches of a split with noise on their `clips`.

    `share` as in `source.Source.eval_batches`.
    """
    if not variance or split not in SPLITS:
        yield from batches
        return
    for number, batch in zip(itertools.count(*share), batches, strict=False):
        num = len(batch["tracklet"])
        keys = clip_keys(seed, split, number * num, num)
        yield batch | {"clips": add_noise(batch["clips"], variance, keys)}
