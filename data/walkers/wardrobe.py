"""Cloth of an outfit: how it is woven, what is printed on it, how it falls."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from data.walkers.cloth import Cloth, plain
from data.walkers.draws import between, choose, sign, sometimes, stream
from data.walkers.garments import COLORS, TOPS, Outfit
from data.walkers.variety import Variety

# Weights of patterns: horizontal stripes, vertical ones, diagonals, checks, argyle,
# dots or blocks, blots, melange.
_TOPS = (3, 2, 0.7, 3.5, 0.7, 1.5, 2.5, 4)
_BOTTOMS = (0.5, 1.5, 0.3, 2, 0.2, 0.5, 2, 4)
# Frequencies around and along of each pattern's two waves, over the pattern's pace.
_WAVES = np.array(
    [
        ((0, 1), (0, 1)),
        ((1, 0), (1, 0)),
        ((0.7, 0.7), (0.7, 0.7)),
        ((1, 0), (0, 1)),
        ((0.6, 0.8), (-0.6, 0.8)),
        ((1, 0), (0, 1)),
        ((0.5, 0.3), (-0.3, 0.5)),
        ((0, 0), (0, 0)),
    ],
    np.float32,
)
_DOTS, _BLOTS, _MELANGE = 5, 6, 7


def weave_outfit(key, outfit: Outfit, variety: Variety) -> tuple[Outfit, Cloth, Cloth]:
    """The outfit with redrawn patterns, and the cloth of top and of trousers."""
    top_key, bottom_key, print_key = jax.random.split(key, 3)
    top = _cloth(top_key, outfit.upper[0], _TOPS, variety.cloth, variety)
    has_pattern = jnp.any(top.waves != 0)
    n = stream(print_key, 8)
    # 60 % of the open jackets with a pattern are plain over a patterned shirt.
    inner = has_pattern & (outfit.open_front > 0) & (n() < 0.6)
    ink = jnp.where(inner, _against(outfit.upper[2], top.ink), top.ink)
    printed = n() < variety.prints
    patch = jnp.stack([between(n(), 0.25, 0.75), sign(n()), between(n(), 0.45, 0.70)])
    is_logo = printed & (n() < 0.7)
    letters = jax.random.bits(jax.random.fold_in(print_key, 1)) >> 8
    letters = jnp.where(is_logo, letters.astype(jnp.float32), plain().letters)
    has_top = (top.is_on > 0) | is_logo
    top = dataclasses.replace(
        top, inner=inner * 1.0, ink=ink, letters=letters, is_on=has_top * 1.0
    )
    bottom = _cloth(bottom_key, outfit.lower, _BOTTOMS, 0.5 * variety.cloth, variety)
    # Both parts of a dress have the same cloth.
    is_dress = (outfit.skirt > 0) & jnp.all(outfit.lower == outfit.upper[0]) & ~inner
    bottom = jax.tree.map(lambda a, b: jnp.where(is_dress, a, b), top, bottom)
    outfit = dataclasses.replace(
        outfit,
        stripes=jnp.where(has_pattern & ~inner, 0.0, outfit.stripes),
        columns=jnp.where(has_pattern & ~inner, 0.0, outfit.columns),
        patch=jnp.where(printed, patch, outfit.patch),
    )
    return outfit, top, bottom


def _cloth(key, color, weights, probability, variety: Variety) -> Cloth:
    """A garment's cloth, with this probability of a pattern drawn by `weights`."""
    n = stream(key, 40)
    is_woven, pattern = n() < probability, choose(n(), weights)
    waves = jnp.asarray(_WAVES)[pattern]
    pace = 4.0 * 5.0 ** n()  # 4 to 20 cycles a metre
    # Few checks are square. The two waves of stripes stay equal.
    is_pair = jnp.any(waves[0] != waves[1])
    second = jnp.where(is_pair, between(n(), 0.7, 1.4), 1.0)
    waves = waves * pace * jnp.stack([jnp.ones(()), second])[:, None]
    shade = between(n(), 0.7, 1.3)
    ink = jnp.clip(jnp.asarray(COLORS)[choose(n(), TOPS)] * shade, 0.02, 0.95)
    grain = sometimes(0.25, n(), n(), 0.15, 0.40)
    grain = jnp.where(pattern == _MELANGE, between(n(), 0.2, 0.55), grain)
    folds = jnp.stack(
        [
            variety.folds * between(n() ** 1.5, 0.05, 0.50),
            jnp.round(between(n(), -0.5, 4.5)),
            between(n(), 1.0, 8.0),
        ]
    )
    seam = variety.folds * sometimes(0.5, n(), n(), 0.15, 0.50)
    is_on = is_woven | (folds[0] > 0)
    return dataclasses.replace(
        plain(),
        is_on=is_on * 1.0,
        waves=jnp.where(is_woven, waves, 0.0),
        duty=between(n(), 0.2, 0.7),
        both=jnp.where(pattern == _DOTS, 1.0, 0.0),
        warp=jnp.where(pattern == _BLOTS, between(n(), 0.5, 1.3), 0.0),
        ink=_against(color, ink),
        grain=jnp.where(is_woven, grain, 0.0),
        folds=folds,
        seam=seam,
    )


def _against(color, ink):
    """`ink`, or black or white where it hardly stands out from `color`."""
    is_close = jnp.max(jnp.abs(color - ink)) < 0.18
    return jnp.where(is_close, jnp.where(color.mean() < 0.35, 0.75, 0.08), ink)
