"""Occluders between camera and person: posts, signs on posts, cars; and shadows."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from data.walkers.draws import between, choose, pytree, stream
from data.walkers.stamps import Stamps, concatenate, stamp

_PAINTS = np.array(
    [
        (0.10, 0.10, 0.11),
        (0.45, 0.46, 0.47),
        (0.80, 0.80, 0.78),
        (0.18, 0.50, 0.50),
        (0.12, 0.20, 0.45),
        (0.55, 0.10, 0.08),
        (0.80, 0.65, 0.12),
        (0.16, 0.26, 0.12),
    ],
    np.float32,
)


@pytree
class Obstacle:
    """A thing that stands still while person and box pass behind it."""

    is_on: Array
    """1 if it is there, else 0."""
    kind: Array
    """0 post (40 %), 1 sign on a post (30 %), 2 car, bench or hedge (30 %)."""
    middle: Array
    """Frame in which it is in the middle of the box."""
    speed: Array
    """Speed across the picture in box heights per frame."""
    half_width: Array
    """Box heights: post 0.012-0.05, panel of a sign 0.08-0.2, car 0.2-0.6."""
    low: Array
    """Lower edge of a sign's panel, -0.35 to 0.15 box heights above the middle."""
    high: Array
    """Upper edge: 0.2-0.45 above the lower one; of a car -0.3 to 0.05 above middle."""
    colors: Float[Array, "2 3"]
    rows: Array
    """Lines of text on a sign, 2 to 5."""


def sample_obstacle(key, num_frames, moving, probability) -> Obstacle:
    """An obstacle with this probability.

    `moving` is how far the person goes across the picture, in metres per frame.
    """
    n = stream(key, 24)
    kind = choose(n(), (4, 3, 3))
    # A box height is about 1.9 m; nearer things pass faster. An obstacle never stays
    # quite still, as if the camera moved a little.
    pass_by = -between(n(), 1.0, 1.5) * moving / 1.9
    slowest = jnp.where(pass_by < 0, -0.006, 0.006)
    low = between(n(), -0.35, 0.15)
    colors = jnp.asarray(_PAINTS)[jnp.stack([choose(n(), np.ones(8)) for _ in "ab"])]
    return Obstacle(
        is_on=(n() < probability).astype(jnp.float32),
        kind=kind,
        middle=n() * num_frames,
        speed=jnp.where(jnp.abs(pass_by) < 0.006, slowest, pass_by),
        half_width=jnp.select(
            [kind == 0, kind == 1],
            [between(n(), 0.012, 0.05), between(n(), 0.08, 0.20)],
            between(n(), 0.20, 0.60),
        ),
        low=low,
        high=jnp.where(
            kind == 2, between(n(), -0.30, 0.05), low + between(n(), 0.2, 0.45)
        ),
        colors=colors * between(n(), 0.7, 1.15),
        rows=jnp.round(between(n(), 1.5, 5.5)),
    )


def obstacle_stamps(obstacle: Obstacle, frame, height: int, tall) -> Stamps:
    """Its post and its panel or body, before everything else; pixels.

    `tall` is the cosine of the camera's elevation: upright things are short from above.
    """
    x = (frame - obstacle.middle) * obstacle.speed
    is_car = obstacle.kind == 2
    half = jnp.where(obstacle.kind == 0, obstacle.half_width, 0.018)
    foot = -0.8
    high = foot + (obstacle.high - foot) * tall
    post_top = jnp.where(obstacle.kind == 1, high, foot + 2.8 * tall)
    bottom = jnp.where(is_car, foot, foot + (obstacle.low - foot) * tall)
    first, second = obstacle.colors
    post = stamp(
        jnp.stack([x, foot]) * height, jnp.stack([x, post_top]) * height,
        half * height, 0.01 * height, jnp.where(obstacle.kind == 1, 0.55, first),
        depth=90.0, opacity=obstacle.is_on * ~is_car,
    )  # fmt: skip
    panel = stamp(
        jnp.stack([x, bottom]) * height, jnp.stack([x, high]) * height,
        obstacle.half_width * height, jnp.where(is_car, 0.05, 0.006) * height, first,
        second=jnp.where(is_car, 0.12, second),
        stripes=jnp.where(is_car, 0.0, obstacle.rows),
        band=jnp.where(is_car, jnp.array([0.78, 0.95]), 9.0),
        depth=91.0, opacity=obstacle.is_on * (obstacle.kind > 0),
    )  # fmt: skip
    return concatenate(post, panel)


def shadow_stamp(camera, feet, px_per_m) -> Stamps:
    """The blurred dark ellipse on the ground; `feet` is their position in pixels."""
    flat = jnp.sin(camera.elevation)
    at = feet - jnp.stack([0.22 * camera.light[0], 0.0]) * px_per_m
    return stamp(
        at, at, 0.34 * px_per_m, (0.05 + 0.22 * flat) * px_per_m, jnp.full((3,), 0.06),
        depth=-90.0, opacity=camera.shadow, soft=0.25 * px_per_m,
    )  # fmt: skip
