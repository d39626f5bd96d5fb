"""Woven and printed cloth: patterns that lie on a garment and turn with its wearer.

Two triangle waves around and along a part of the body make stripes (one wave), checks
(the sum of both), dots and blocks (their product), and blots (each bends the other).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import flatten_util
from jaxtyping import Array, Float, Int

from data.walkers.draws import pytree


@pytree
class Cloth:
    """The cloth of a garment, or of one part of a body."""

    is_on: Array
    """1 if there is any pattern, fold or print, else 0."""
    waves: Float[Array, "2 2"]
    """Frequencies of two waves, each around and along.

    In cycles a metre; for a part of a body in cycles over the part.
    """
    duty: Array
    """Share of a wave in the colour `ink`, 0.2 to 0.7."""
    both: Array
    """0: each wave adds half of `ink` (checks). 1: ink where both waves are (dots)."""
    warp: Array
    """How far each wave bends the other, 0 or 0.5 to 1.3 cycles."""
    ink: Float[Array, "3"]
    """Colour of the pattern."""
    inner: Array
    """1 if the pattern is on the shirt under an open jacket, else 0."""
    grain: Array
    """Contrast of melange, in cells of about 2 by 3 cm: 0 or 0.15 to 0.5."""
    folds: Float[Array, "3"]
    """Folds: depth (0.05 to 0.5 of the light), cycles around, cycles a metre along."""
    seam: Array
    """Darkness of the hem and of the line of buttons, 0 to 0.5."""
    letters: Array
    """24 bits: the printed cells of a 4x6 print; all ones for a plain patch."""
    size: Float[Array, "2"]
    """For a part of a body: metres around and along."""


def plain() -> Cloth:
    """Cloth without any pattern."""
    zero = jnp.zeros(())
    return Cloth(
        is_on=zero, waves=jnp.zeros((2, 2)), duty=zero, both=zero, warp=zero,
        ink=jnp.zeros(3), inner=zero, grain=zero, folds=jnp.zeros(3), seam=zero,
        letters=jnp.asarray(2.0**24 - 1), size=jnp.ones(2),
    )  # fmt: skip


def pack(cloth: Cloth) -> Float[Array, "20"]:
    """The cloth as one array, so that a renderer's loop moves one array, not twelve."""
    return flatten_util.ravel_pytree(cloth)[0]


def unpack(packed: Float[Array, "20"]) -> Cloth:
    """The cloth in an array of `pack`."""
    return flatten_util.ravel_pytree(plain())[1](packed)


def cut(
    garments: Float[Array, "G 20"], which: np.ndarray, radii, lengths
) -> Float[Array, "K 20"]:
    """The packed cloth of the K parts of a body.

    Args:
        garments: Packed cloth of each garment.
        which: Garment that each part is cut from [K].
        radii: Radius of each part in metres [K].
        lengths: Length of each part in metres, caps included [K].
    """
    around = 2 * jnp.pi * radii

    def cut_one(packed, around, length):
        cloth = unpack(packed)
        turns, along = cloth.waves[:, 0] * around, cloth.waves[:, 1] * length
        # Whole cycles around, so that the pattern has no seam at the back.
        turns = jnp.sign(turns) * jnp.maximum(jnp.round(jnp.abs(turns)), 1.0)
        waves, size = jnp.stack([turns, along], -1), jnp.stack([around, length])
        return pack(dataclasses.replace(cloth, waves=waves, size=size))

    return jax.vmap(cut_one)(garments[which], around, lengths)


def weave(
    cloth: Cloth, facing, patch, flat, lateral, ahead, level, total, radius
) -> Int[Array, "H W"]:
    """The pattern of one part at each pixel, packed in an int32 [H, W].

    Bits 0 to 7 are the coverage with ink, 8 to 15 that of the shirt under an open
    jacket, 16 to 23 the light on the cloth (128 is a factor of 1), and bit 24 the
    print.

    Args:
        cloth: Cloth of the part.
        facing: Cosine and sine of the angle from the camera to the body's front.
        patch: Print: half-width, side, height.
        flat: Position across the part as seen, -1 to 1.
        lateral: Position to the right of the body.
        ahead: Position to the front of the body.
        level: Position along the part, 0 to 1.
        total: Length of the part in pixels.
        radius: Half-width of the part in pixels.
    """
    square = flat * flat
    arc = flat * (1 + square * (0.167 + square * (0.03 + 0.374 * square * square)))
    turn = (jnp.arctan2(facing[1], facing[0]) - arc) * (0.5 / jnp.pi)
    a, b = (wave[0] * turn + wave[1] * level for wave in cloth.waves)
    bent_a = a + cloth.warp * _triangle(0.61 * b + 0.3)
    bent_b = b + cloth.warp * _triangle(0.73 * a)
    coverages = []
    for at, wave in ((bent_a, cloth.waves[0]), (bent_b, cloth.waves[1])):
        # Cycles a pixel. Where a pixel has many, the edges blend into an even mixture.
        pace = jnp.hypot(wave[0] / (2 * jnp.pi * radius), wave[1] / total)
        edge = 0.5 / (pace * (1 + cloth.warp) + 1e-6)
        coverages.append(
            jnp.clip((_triangle(at) - 1 + cloth.duty) * edge + 0.5, 0.0, 1.0)
            * (pace > 0)
        )
    mean = 0.5 * (coverages[0] + coverages[1])
    ink = mean + cloth.both * (coverages[0] * coverages[1] - mean)

    cell = jnp.floor(turn * (45 * cloth.size[0])).astype(jnp.int32) * 374761393
    cell = cell + jnp.floor(level * (30 * cloth.size[1])).astype(jnp.int32) * 668265263
    cell = (cell ^ (cell >> 13)) * 1274126177
    speck = ((cell >> 16) & 255).astype(jnp.float32) / 255 - 0.5
    depth, around, along = cloth.folds
    fold = around * turn + 0.9 * _triangle(2.0 * turn + 1.7 * level)
    fold = _triangle(fold + along * cloth.size[1] * level)
    hem = jax.nn.relu(1.5 - jnp.minimum(level, 1 - level) * total)
    buttons = jax.nn.relu(1.2 - jnp.abs(lateral) * radius) * (ahead > 0)
    light = 1 + cloth.grain * speck + depth * (0.4 - fold * fold)
    light = light * (1 - cloth.seam * jnp.minimum(jnp.maximum(hem, buttons), 1.0))

    size = jnp.maximum(patch[0], 1e-3)
    column = jnp.floor(3 * (lateral / size + 1))
    row = jnp.floor(2 * (2.5 * (level - patch[2]) / size + 1))
    bit = 6 * jnp.clip(row, 0, 3) + jnp.clip(column, 0, 5)
    printed = (cloth.letters.astype(jnp.int32) >> bit.astype(jnp.int32)) & 1
    word = _byte(ink * (1 - cloth.inner)) | _byte(ink * cloth.inner) << 8
    light = (jnp.clip(light, 0.0, 1.99) * 128 + 0.5).astype(jnp.int32)
    return word | light << 16 | printed << 24


def _byte(x):
    """Numbers in 0..1 as integers in 0..255."""
    return (jnp.clip(x, 0.0, 1.0) * 255.0 + 0.5).astype(jnp.int32)


def _triangle(x):
    """A triangle wave of period 1: 0 at whole numbers, 1 at halves."""
    return 1.0 - 2.0 * jnp.abs(x - jnp.floor(x) - 0.5)
