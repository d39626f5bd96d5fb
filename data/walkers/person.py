"""Identities: a person's build, outfit and gait, a pytree of arrays sampled from a key.

Lengths are metres, angles radians, colours linear RGB-like values in [0, 1] before
any camera.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

# Colour, weight among upper garments, weight among lower garments.
_PALETTE = (
    ((0.07, 0.07, 0.08), 24, 32),  # black
    ((0.22, 0.22, 0.24), 14, 14),  # dark grey
    ((0.50, 0.50, 0.51), 9, 9),  # grey
    ((0.11, 0.13, 0.27), 14, 12),  # navy
    ((0.26, 0.36, 0.54), 6, 18),  # denim
    ((0.68, 0.60, 0.47), 9, 12),  # beige
    ((0.33, 0.22, 0.15), 8, 8),  # brown
    ((0.88, 0.88, 0.86), 10, 7),  # white
    ((0.66, 0.11, 0.12), 9, 2),  # red
    ((0.52, 0.68, 0.84), 7, 2),  # light blue
    ((0.30, 0.33, 0.19), 6, 3),  # olive
    ((0.12, 0.36, 0.27), 5, 0),  # green
)
_COLORS = np.array([color for color, _, _ in _PALETTE], np.float32)
_UPPER_WEIGHTS = tuple(upper for _, upper, _ in _PALETTE)
_LOWER_WEIGHTS = tuple(lower for _, _, lower in _PALETTE)
_SKINS = np.array(
    [(0.86, 0.68, 0.57), (0.76, 0.56, 0.43), (0.56, 0.38, 0.27), (0.36, 0.24, 0.17)],
    np.float32,
)
_HAIRS = np.array(
    [
        (0.07, 0.06, 0.06),
        (0.20, 0.13, 0.09),
        (0.38, 0.25, 0.15),
        (0.74, 0.60, 0.36),
        (0.60, 0.59, 0.58),
        (0.45, 0.18, 0.09),
    ],
    np.float32,
)
_SHOES = np.array([(0.08, 0.08, 0.08), (0.28, 0.18, 0.12), (0.85, 0.85, 0.84)])


def pytree(cls):
    """A frozen dataclass of arrays, registered with JAX."""
    return jax.tree_util.register_dataclass(dataclasses.dataclass(frozen=True)(cls))


@pytree
class Build:
    """Size and proportions; factors are relative to an average adult."""

    height: Array
    """Standing height, 1.52 to 1.95 m."""
    girth: Array
    """Width and depth of the trunk, factor 0.84 to 1.25."""
    shoulders: Array
    """Shoulder width, factor 0.90 to 1.12."""
    legs: Array
    """Length of the legs, factor 0.95 to 1.05."""
    limbs: Array
    """Thickness of arms and legs, factor 0.85 to 1.20."""
    head: Array
    """Size of the head, factor 0.94 to 1.10."""


@pytree
class Outfit:
    """What a person wears and carries, the same in every camera and tracklet."""

    upper: Float[Array, "3 3"]
    """Upper garment: base colour, second colour (stripes, band), open front."""
    open_front: Array
    """Half-width of the open front over the trunk's half-width, 0 (58 %) or 0.2-0.5."""
    stripes: Array
    """Horizontal stripes over the trunk, 0 (75 %) or 3 to 6."""
    columns: Array
    """Vertical stripes over the trunk, 0 (92 %) or 3 to 5."""
    band: Float[Array, "2"]
    """Part of the trunk in the second colour, from bottom 0 to top 1; 29 % have one."""
    sleeve: Array
    """Sleeves' length over the arm's, 1 (80 %) or 0.30 to 0.45."""
    sleeve_second: Array
    """1 where the sleeves have the second colour (20 %), else 0."""
    coat: Array
    """Length of the coat below the hips over the leg's, 0.06-0.12 or 0.25-0.60."""
    lower: Float[Array, "3"]
    """Colour of trousers, skirt or shorts."""
    leg_cover: Array
    """Trousers' length over the leg's: 1, 0.45-0.55 (shorts, 10 %) or 0 (skirt)."""
    skirt: Array
    """Length of a skirt over the leg's, 0 (86 %) or 0.40 to 0.75."""
    stockings: Float[Array, "3"]
    """Colour of the legs where nothing covers them: skin, or black below skirts."""
    shoes: Float[Array, "3"]
    skin: Float[Array, "3"]
    hair: Float[Array, "3"]
    """Colour of hair, hat or hood."""
    hair_size: Array
    """Hair's thickness on the skull, factor 0.80 (bald, 8 %) or 0.97 to 1.16."""
    hair_length: Array
    """Hair below the skull, 0 (60 %) or 0.08 to 0.30 m."""
    hood: Array
    """1 where a hood or thick collar lies on the shoulders (18 %), else 0."""
    bag: Float[Array, "3"]
    backpack: Array
    """Size of the backpack, 0 (72 %) or factor 0.8 to 1.2."""
    shoulder_bag: Array
    """Size of the bag at one hip, 0 (72 %) or factor 0.8 to 1.3."""
    bag_side: Array
    """-1 left or 1 right: the side of shoulder bag and carried thing."""
    carried: Array
    """Size of what the hand holds (papers, a bag), 0 (80 %) or factor 0.7 to 1.3."""
    carried_color: Float[Array, "3"]


@pytree
class Gait:
    """How a person walks."""

    cadence: Array
    """Phase per frame at normal speed, 0.45 to 0.80 rad."""
    stride: Array
    """Amplitude of the hip's angle, 0.30 to 0.55 rad."""
    knee: Array
    """Knee's flexion in the swing, 0.5 to 1.1 rad."""
    arm_swing: Array
    """Amplitude of the shoulder's angle, 0.10 to 0.60 rad."""
    elbow: Array
    """Mean flexion of the elbow, 0.10 to 0.70 rad."""
    lean: Array
    """Forward lean of the trunk, -0.03 to 0.14 rad."""
    stance: Array
    """Distance of each foot from the middle, factor 0.7 to 1.4."""
    asymmetry: Array
    """Right stride over left, minus one: -0.15 to 0.15."""


@pytree
class Person:
    build: Build
    outfit: Outfit
    gait: Gait


def between(u, low, high):
    """`u` in [0, 1) stretched to [low, high)."""
    return low + u * (high - low)


def choose(u, weights):
    """Index drawn in proportion to `weights` by `u` in [0, 1)."""
    edges = np.cumsum(np.asarray(weights, np.float64) / np.sum(weights))[:-1]
    return jnp.sum(u >= jnp.asarray(edges, jnp.float32))


def _sometimes(p, u, v, low, high, otherwise=0.0):
    """A value in [low, high) with probability p, else `otherwise`."""
    return jnp.where(u < p, between(v, low, high), otherwise)


@jax.jit
def sample_person(key) -> Person:
    """The person of a key; the ranges are in the fields' descriptions."""
    u = iter(jax.random.uniform(key, (128,)))
    n = functools.partial(next, u)
    build = Build(
        height=between(0.5 * (n() + n()), 1.52, 1.95),
        girth=between(n(), 0.84, 1.25),
        shoulders=between(n(), 0.90, 1.12),
        legs=between(n(), 0.95, 1.05),
        limbs=between(n(), 0.85, 1.20),
        head=between(n(), 0.94, 1.10),
    )
    gait = Gait(
        cadence=between(n(), 0.45, 0.80),
        stride=between(n(), 0.30, 0.55),
        knee=between(n(), 0.5, 1.1),
        arm_swing=between(n(), 0.10, 0.60),
        elbow=between(n(), 0.10, 0.70),
        lean=between(n(), -0.03, 0.14),
        stance=between(n(), 0.7, 1.4),
        asymmetry=between(n(), -0.15, 0.15),
    )
    return Person(build, _sample_outfit(n), gait)


def _sample_outfit(n) -> Outfit:
    def dyed(u, weights):
        shade = 1 + 0.16 * (n() - 0.5)
        cast = 0.03 * (jnp.stack([n(), n(), n()]) - 0.5)
        color = jnp.asarray(_COLORS)[choose(u, weights)]
        return jnp.clip(color * shade + cast, 0.02, 0.95)

    upper = jnp.stack([dyed(n(), _UPPER_WEIGHTS) for _ in range(3)])
    lower = dyed(n(), _LOWER_WEIGHTS)
    skin = jnp.asarray(_SKINS)[choose(n(), (5, 4, 2, 2))] * between(n(), 0.92, 1.05)
    hair = jnp.asarray(_HAIRS)[choose(n(), (6, 6, 4, 3, 2, 1))]
    hat = n() < 0.12
    hair = jnp.where(hat, jnp.asarray(_COLORS)[choose(n(), _UPPER_WEIGHTS)], hair)
    bald = (n() < 0.08) & ~hat
    stripes = jnp.round(_sometimes(0.25, n(), n(), 2.5, 6.5))
    has_columns = (stripes == 0) & (n() < 0.10)
    top = n()
    band_kind, band_edge = n(), between(n(), 0.50, 0.72)
    plain = (stripes == 0) & ~has_columns
    # Yoke (second colour above), hem (below), chest band, or none.
    band = jnp.select(
        [band_kind < 0.16, band_kind < 0.30, band_kind < 0.42],
        [
            jnp.stack([band_edge, 2.0]),
            jnp.stack([-1.0, 1 - band_edge]),
            jnp.stack([band_edge - 0.10, band_edge + 0.08]),
        ],
        jnp.array([3.0, 3.0]),
    )
    kind = n()
    skirt = _sometimes(0.14, kind, n(), 0.40, 0.75)
    has_skirt = skirt > 0
    shorts = (kind > 0.90) & ~has_skirt
    bare = n() < 0.5
    black = jnp.array([0.08, 0.08, 0.09])
    coat = jnp.where(n() < 0.28, between(n(), 0.25, 0.60), between(n(), 0.06, 0.12))
    has_hair = ~bald & ~hat
    # A dress continues the upper garment's colour below the hips.
    lower = jnp.where(has_skirt & (n() < 0.35), upper[0], lower)
    return Outfit(
        upper=upper,
        open_front=_sometimes(0.42, n(), n(), 0.20, 0.50),
        stripes=stripes,
        columns=jnp.where(has_columns, jnp.round(between(top, 2.5, 5.5)), 0.0),
        band=jnp.where(plain, band, 3.0),
        sleeve=_sometimes(0.20, n(), n(), 0.30, 0.45, 1.0),
        sleeve_second=jnp.where(n() < 0.20, 1.0, 0.0),
        coat=coat,
        lower=lower,
        leg_cover=jnp.where(
            has_skirt, 0.0, jnp.where(shorts, between(n(), 0.45, 0.55), 1.0)
        ),
        skirt=skirt,
        stockings=jnp.where(shorts | bare, skin, black),
        shoes=jnp.asarray(_SHOES, jnp.float32)[choose(n(), (6, 3, 3))],
        skin=skin,
        hair=hair,
        hair_size=jnp.where(bald, 0.80, between(n(), 0.97, 1.16)),
        hair_length=jnp.where(has_hair, _sometimes(0.40, n(), n(), 0.08, 0.30), 0.0),
        hood=jnp.where(n() < 0.18, 1.0, 0.0),
        bag=dyed(n(), _UPPER_WEIGHTS),
        backpack=_sometimes(0.28, n(), n(), 0.8, 1.2),
        shoulder_bag=_sometimes(0.28, n(), n(), 0.8, 1.3),
        bag_side=jnp.where(n() < 0.5, -1.0, 1.0),
        carried=_sometimes(0.20, n(), n(), 0.7, 1.3),
        carried_color=dyed(n(), (2, 1, 1, 1, 1, 2, 2, 4, 1, 1, 0, 0)),
    )
