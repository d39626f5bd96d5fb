"""Clothes and luggage: an outfit, sampled from a key. Colours are in [0, 1]."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.walkers.draws import between, choose, pytree, sign, sometimes, stream

# Colour; its weight among tops, among dark tops, and among trousers and skirts.
_PALETTE = (
    ((0.045, 0.045, 0.05), 24, 60, 30),  # black
    ((0.16, 0.16, 0.18), 12, 14, 13),  # dark grey
    ((0.44, 0.44, 0.45), 9, 3, 7),  # grey
    ((0.07, 0.09, 0.19), 13, 14, 12),  # navy
    ((0.24, 0.34, 0.50), 5, 1, 26),  # denim
    ((0.64, 0.56, 0.43), 7, 1, 8),  # beige
    ((0.20, 0.13, 0.09), 6, 6, 6),  # brown
    ((0.88, 0.88, 0.86), 10, 1, 5),  # white
    ((0.66, 0.09, 0.10), 7, 0, 1),  # red
    ((0.50, 0.66, 0.82), 6, 0, 2),  # light blue
    ((0.26, 0.27, 0.16), 4, 1, 3),  # olive
    ((0.10, 0.33, 0.25), 3, 0, 0),  # green
    ((0.80, 0.50, 0.56), 3, 0, 1),  # pink
    ((0.84, 0.62, 0.16), 2, 0, 0),  # yellow
    ((0.36, 0.16, 0.36), 2, 0, 0),  # purple
)
COLORS = np.array([row[0] for row in _PALETTE], np.float32)
TOPS, DARK_TOPS, BOTTOMS = (
    np.array([row[i] for row in _PALETTE], np.float64) for i in (1, 2, 3)
)
_SHOES = np.array(
    [(0.05, 0.05, 0.05), (0.24, 0.15, 0.10), (0.85, 0.85, 0.84), (0.4, 0.4, 0.42)],
    np.float32,
)
_BLACK = np.array([0.05, 0.05, 0.055], np.float32)
NOWHERE = np.array([9.0, 9.0], np.float32)
"""A band outside every garment."""


@pytree
class Outfit:
    """What a person wears and carries on a day, in all cameras and tracklets."""

    upper: Float[Array, "3 3"]
    """Upper garment: base colour, pattern colour, colour inside an open front."""
    open_front: Array
    """Half-width of the open front over the trunk's, 0 (62 %) or 0.15 to 0.5."""
    stripes: Array
    """Number of horizontal stripes over the trunk, 0 (82 %) or 3 to 7."""
    columns: Array
    """Number of vertical stripes over the trunk, 0 (94 %) or 3 to 6."""
    band: Float[Array, "2"]
    """Part of the trunk in the second colour, from 0 (bottom) to 1 (top).

    It is a yoke (13 %), a hem (10 %), a chest band (10 %) or none; only without
    stripes.
    """
    patch: Float[Array, "3"]
    """Print on chest or back (20 %): half-width, side (1 front, -1 back), height."""
    sleeve: Array
    """Length of the sleeves over the arm's, 1 (80 %) or 0.25 to 0.5."""
    sleeve_second: Array
    """1 if the sleeves have the second colour (18 %), else 0."""
    bulk: Array
    """Thickness of the upper garment, factor 1.0 to 1.4 (down jackets)."""
    sheen: Array
    """Gloss (leather, down jackets), 0 (75 %) or 0.1 to 0.35."""
    coat: Array
    """Length below the hips over the leg's: jacket 0.03-0.14, coat (30 %) 0.2-0.65."""
    hood: Array
    """Size of a hood or thick collar on the shoulders, 0 (70 %) or 0.7 to 1.2."""
    scarf: Array
    """1 with a scarf in the bag's colour (12 %), else 0."""
    lower: Float[Array, "3"]
    """Colour of trousers, skirt or shorts."""
    leg_width: Array
    """Width of the trousers, factor 0.95 to 1.4."""
    leg_cover: Array
    """Length of the trousers over the leg's: 1, shorts (8 %) 0.4-0.55, skirts 0."""
    skirt: Array
    """Length of a skirt or dress over the leg's, 0 (86 %) or 0.35 to 0.8."""
    stockings: Float[Array, "3"]
    """Colour of uncovered legs: skin, or black."""
    shoes: Float[Array, "3"]
    hat: Array
    """1 with a hat or a hood up (14 %), else 0."""
    hat_color: Float[Array, "3"]
    bag: Float[Array, "3"]
    backpack: Array
    """Size of a backpack, 0 (74 %) or factor 0.7 to 1.2."""
    shoulder_bag: Array
    """Size of a bag at one hip, 0 (74 %) or factor 0.7 to 1.3."""
    bag_side: Array
    """Side of the shoulder bag and of the hand with something: -1 left, 1 right."""
    carried: Array
    """Size of what a hand holds (papers, a bag), 0 (75 %) or factor 0.6 to 1.4."""
    carried_color: Float[Array, "3"]


def sample_outfit(key, skin, dark) -> Outfit:
    """An outfit; `dark` is the probability of a dark top over dark trousers."""
    n = stream(key, 96)
    is_dark = n() < dark

    def dyed(weights):
        shade = between(n(), 0.8, 1.25)
        cast = 0.04 * (jnp.stack([n(), n(), n()]) - 0.5)
        color = jnp.asarray(COLORS)[choose(n(), weights)]
        return jnp.clip(color * shade + cast * (0.25 + color), 0.015, 0.95)

    def top():
        return jnp.where(is_dark, dyed(DARK_TOPS), dyed(TOPS))

    # The shirt under a dark jacket is as bright as under other jackets.
    upper = jnp.stack([top(), dyed(TOPS), dyed(TOPS)])
    lower = jnp.where(is_dark, dyed(0.4 * BOTTOMS + DARK_TOPS), dyed(BOTTOMS))
    stripes = jnp.round(sometimes(0.18, n(), n(), 2.5, 7.5))
    columns = jnp.round(sometimes(0.07, n(), n(), 2.5, 6.5)) * (stripes == 0)
    kind, edge = n(), between(n(), 0.45, 0.75)
    band = jnp.select(
        [kind < 0.13, kind < 0.23, kind < 0.33],
        [
            jnp.stack([edge, 2.0]),
            jnp.stack([-1.0, 0.8 - edge]),
            jnp.stack([edge - 0.10, edge + 0.08]),
        ],
        jnp.asarray(NOWHERE),
    )
    kind = n()
    skirt = sometimes(0.14, kind, n(), 0.35, 0.80)
    has_skirt, shorts = skirt > 0, kind > 0.92
    cover = jnp.where(shorts, between(n(), 0.40, 0.55), jnp.where(has_skirt, 0.0, 1.0))
    stockings = jnp.where(shorts | (n() < 0.4), skin, jnp.asarray(_BLACK))
    # A dress continues the upper garment's colour below the hips.
    lower = jnp.where(has_skirt & (n() < 0.35), upper[0], lower)
    is_coat = n() < 0.30
    patch = jnp.stack(
        [sometimes(0.20, n(), n(), 0.2, 0.6), sign(n()), between(n(), 0.45, 0.7)]
    )
    return Outfit(
        upper=upper,
        open_front=sometimes(0.38, n(), n(), 0.15, 0.50),
        stripes=stripes,
        columns=columns,
        band=jnp.where(stripes + columns == 0, band, jnp.asarray(NOWHERE)),
        patch=patch,
        sleeve=sometimes(0.20, n(), n(), 0.25, 0.50, 1.0),
        sleeve_second=jnp.where(n() < 0.18, 1.0, 0.0),
        bulk=between(n() ** 2, 1.0, 1.4),
        sheen=sometimes(0.25, n(), n(), 0.10, 0.35),
        coat=jnp.where(is_coat, between(n(), 0.20, 0.65), between(n(), 0.03, 0.14)),
        hood=sometimes(0.30, n(), n(), 0.7, 1.2),
        scarf=jnp.where(n() < 0.12, 1.0, 0.0),
        lower=lower,
        leg_width=between(n(), 0.95, 1.40),
        leg_cover=cover,
        skirt=skirt,
        stockings=stockings,
        shoes=jnp.asarray(_SHOES)[choose(n(), (6, 2, 3, 2))],
        hat=jnp.where(n() < 0.14, 1.0, 0.0),
        hat_color=top(),
        bag=dyed(TOPS),
        backpack=sometimes(0.26, n(), n(), 0.7, 1.2),
        shoulder_bag=sometimes(0.26, n(), n(), 0.7, 1.3),
        bag_side=sign(n()),
        carried=sometimes(0.25, n(), n(), 0.6, 1.4),
        carried_color=jnp.where(n() < 0.5, 0.88, dyed(TOPS)),
    )
