"""Painting: primitives projected to the image, and painted farthest first.

Every primitive of a body projects to about a tapered capsule. It is painted with the
coverage of each pixel from its signed distance and shading from a pseudo normal.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.body import Primitives
from data.walkers.camera import Camera
from data.walkers.draws import pytree


@pytree
class Stamps:
    """K projected primitives; pixels, x to the right, y up, from the middle."""

    start: Float[Array, "K 2"]
    end: Float[Array, "K 2"]
    radius: Float[Array, "K 2"]
    cap: Float[Array, "K 2"]
    colors: Float[Array, "K 3 3"]
    stripes: Float[Array, "K"]
    columns: Float[Array, "K"]
    band: Float[Array, "K 2"]
    front: Float[Array, "K"]
    patch: Float[Array, "K 3"]
    sheen: Float[Array, "K"]
    facing: Float[Array, "K 2"]
    """Cosine and sine of the angle from the camera to the body's front."""
    depth: Float[Array, "K"]
    opacity: Float[Array, "K"]
    soft: Float[Array, "K"]
    """Pixels over which the edge fades, at least 1."""


def concatenate(*stamps: Stamps) -> Stamps:
    """All the stamps in one."""
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *stamps)


def scale_opacity(stamps: Stamps, factor) -> Stamps:
    """The stamps, each `factor` times as opaque."""
    return dataclasses.replace(stamps, opacity=stamps.opacity * factor)


def stamp(
    start, end, radius, cap, color, *, depth, opacity, second=None, stripes=0.0,
    band=9.0, soft=1.0,
) -> Stamps:  # fmt: skip
    """One stamp of a thing that has no body."""
    color = jnp.broadcast_to(color, (3,))
    second = color if second is None else jnp.broadcast_to(second, (3,))
    fields = (
        start, end, jnp.broadcast_to(radius, (2,)), jnp.broadcast_to(cap, (2,)),
        jnp.stack([color, second, color]), stripes, 0.0, jnp.broadcast_to(band, (2,)),
        0.0, jnp.array([0.0, 1.0, 0.5]), 0.0, jnp.array([1.0, 0.0]), depth, opacity,
        soft,
    )  # fmt: skip
    return Stamps(*(jnp.asarray(x, jnp.float32)[None] for x in fields))


def project(
    parts: Primitives, yaw, camera: Camera, px_per_m, centre, shift, nearer
) -> Stamps:
    """Stamps of a body turned by `yaw`, moved `shift` m right and `nearer` m nearer."""
    cos, sin = jnp.cos(yaw), jnp.sin(yaw)
    up_cos, up_sin = jnp.cos(camera.elevation), jnp.sin(camera.elevation)

    def image(points):
        x = -points[:, 0] * cos + points[:, 1] * sin + shift
        toward = points[:, 0] * sin + points[:, 1] * cos
        y = points[:, 2] * up_cos - (toward + nearer) * up_sin
        toward = toward * up_cos + (points[:, 2] - 0.9) * up_sin
        perspective = camera.distance / (camera.distance - toward - nearer)
        xy = jnp.stack([x, y - 0.9 * up_cos], -1) * perspective[:, None]
        return xy * px_per_m + centre, toward + nearer

    start, start_depth = image(parts.start)
    end, end_depth = image(parts.end)

    def radius(size):
        across = jnp.hypot(size[:, 0] * cos, size[:, 1] * sin)
        along = jnp.hypot(size[:, 0] * sin, size[:, 1] * cos)
        return across * px_per_m, along

    start_radius, start_along = radius(parts.start_size)
    end_radius, end_along = radius(parts.end_size)
    along = jnp.stack([start_along, end_along], -1)
    num = parts.front.shape[0]
    return Stamps(
        start=start,
        end=end,
        radius=jnp.stack([start_radius, end_radius], -1),
        cap=jnp.hypot(parts.cap * up_cos, along * up_sin) * px_per_m,
        colors=parts.colors,
        stripes=parts.stripes,
        columns=parts.columns,
        band=parts.band,
        front=parts.front,
        patch=parts.patch,
        sheen=parts.sheen,
        facing=jnp.broadcast_to(jnp.stack([cos, sin]), (num, 2)),
        depth=0.5 * (start_depth + end_depth) + parts.bias,
        opacity=parts.opacity,
        soft=jnp.ones(num),
    )


def paint(
    image: Float[Array, "3 H W"], stamps: Stamps, camera: Camera, aspect
) -> Float[Array, "3 H W"]:
    """`image` with the stamps over it, those outside of it or not opaque left out.

    `aspect` is the width of what a pixel shows less its height: boxes are stretched.
    """
    height, width = image.shape[1:]
    x = ((jnp.arange(width) + 0.5 - width / 2) / aspect)[None]
    y = (height / 2 - jnp.arange(height) - 0.5)[:, None]
    reach = jnp.maximum(stamps.radius.max(1), stamps.cap.max(1))
    low = jnp.minimum(stamps.start, stamps.end) - reach[:, None]
    high = jnp.maximum(stamps.start, stamps.end) + reach[:, None]
    half = jnp.stack([width / 2 / aspect, height / 2.0])
    is_seen = (stamps.opacity > 0) & ((low < half) & (high > -half)).all(1)
    order = jnp.argsort(jnp.where(is_seen, stamps.depth, jnp.inf))

    def body(i, image):
        one = jax.tree.map(lambda array: array[order[i]], stamps)
        return _paint_one(image, one, x, y, camera)

    return jax.lax.fori_loop(0, is_seen.sum(), body, image)


def _paint_one(image, one: Stamps, x, y, camera: Camera):
    axis = one.end - one.start
    length = jnp.sqrt(jnp.sum(axis**2) + 1e-6)
    # An ellipsoid (length zero) stands upright.
    dx = jnp.where(length > 1e-2, axis[0] / length, 0.0)
    dy = jnp.where(length > 1e-2, axis[1] / length, 1.0)
    rel_x, rel_y = x - one.start[0], y - one.start[1]
    along = rel_x * dx + rel_y * dy
    across = rel_x * dy - rel_y * dx
    inside = jnp.clip(along, 0.0, length)
    slope = (one.radius[1] - one.radius[0]) / length
    narrow = 1.0 / (one.radius[0] + inside * slope)
    side = across * narrow
    inv_cap = jnp.where(along < 0, 1.0 / one.cap[0], 1.0 / one.cap[1])
    beyond = (along - inside) * inv_cap
    # Implicit surface f = q^2 - 1; f / |grad f| is the distance near it.
    q2 = side * side + beyond * beyond
    gradient = jnp.square(side * narrow) + jnp.square(beyond * inv_cap)
    distance = 0.5 * (q2 - 1.0) * jax.lax.rsqrt(gradient + 1e-7)
    alpha = jnp.clip(0.5 - distance / one.soft, 0.0, 1.0) * one.opacity
    # Pattern: where the point lies on the body (from left to right, front or back).
    flat = jnp.clip(side, -1.0, 1.0)
    rim = jnp.sqrt(1.0 - flat * flat)
    lateral = rim * one.facing[1] - flat * one.facing[0]
    ahead = rim * one.facing[0] + flat * one.facing[1]
    total = length + one.cap[0] + one.cap[1]
    level = (along + one.cap[0]) / total
    wave = _triangle(one.columns * 0.5 * lateral + one.stripes * level)
    edge = jnp.minimum(level - one.band[0], one.band[1] - level)
    second = jnp.maximum(6.0 * wave - 2.5, edge * total + 0.5)
    second = jnp.clip(second, 0.0, 1.0)
    opening = jnp.where(ahead > 0, (one.front - jnp.abs(lateral)) / narrow + 0.5, 0.0)
    opening = jnp.where(one.front > 0, opening, 0.0)
    print_size = jnp.maximum(jnp.abs(lateral), 2.5 * jnp.abs(level - one.patch[2]))
    print_edge = (one.patch[0] - print_size) / narrow + 0.5
    on_print = (one.patch[0] > 0) & (ahead * one.patch[1] > 0)
    opening = jnp.clip(jnp.maximum(opening, jnp.where(on_print, print_edge, 0.0)), 0, 1)
    # Shading from the pseudo normal, a parabola for the part towards the camera.
    light = camera.light
    normal_x, normal_y = side * dy + beyond * dx, beyond * dy - side * dx
    facing = jax.nn.relu(1.0 - q2)
    lit = normal_x * light[0] + normal_y * light[1] + facing * light[2]
    folds = _triangle(along * (0.45 * narrow) + 0.6 * flat + 0.23 * one.start[0])
    gloss = one.sheen * jax.nn.relu(3.0 * lit - 2.0 + folds)
    shade = camera.ambient + (1.12 - camera.ambient) * jnp.clip(lit, 0, 1)
    shade = shade * (0.94 + 0.12 * folds)
    # Packed in one word each, so that XLA computes them once and not once per channel.
    packed = _byte(alpha) | _byte(second) << 8 | _byte(opening) << 16
    lights = _byte(shade / 1.3) | _byte(gloss) << 8
    packed, lights = jax.lax.optimization_barrier((packed, lights))
    alpha, second, opening = _share(packed), _share(packed >> 8), _share(packed >> 16)
    base, other, under = (color[:, None, None] for color in one.colors)
    color = base + second * (other - base)
    color = color + opening * (under - color)
    color = color * (1.3 * _share(lights)) + _share(lights >> 8)
    return image + alpha * (color - image)


def _byte(x):
    return (jnp.clip(x, 0.0, 1.0) * 255.0 + 0.5).astype(jnp.int32)


def _share(x):
    return (x & 255).astype(jnp.float32) * (1.0 / 255.0)


def _triangle(x):
    """A triangle wave of period 1 between 0 (whole numbers) and 1 (halves)."""
    return 1.0 - 2.0 * jnp.abs(x - jnp.floor(x) - 0.5)
