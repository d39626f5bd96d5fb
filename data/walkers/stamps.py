"""Stamps: primitives projected to the image, each roughly a tapered capsule."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers import cloth
from data.walkers.camera import Camera
from data.walkers.draws import pytree
from data.walkers.primitives import Primitives


@pytree
class Stamps:
    """K projected primitives; pixels from the middle, x to the right, y up."""

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
    cloth: Float[Array, "K 20"] | None = None
    """The packed `Cloth` of each, in worlds with a `Variety`; else None."""


def concatenate(*stamps: Stamps) -> Stamps:
    """All stamps in one; things get plain cloth where people have cloth."""
    if any(group.cloth is not None for group in stamps):
        stamps = [_with_cloth(group) for group in stamps]
    return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *stamps)


def _with_cloth(stamps: Stamps) -> Stamps:
    """The stamps, with plain cloth if they have none."""
    if stamps.cloth is not None:
        return stamps
    plain_cloths = jnp.stack(len(stamps.opacity) * [cloth.pack(cloth.plain())])
    return dataclasses.replace(stamps, cloth=plain_cloths)


def scale_opacity(stamps: Stamps, factor) -> Stamps:
    """The stamps with `factor` times their opacity."""
    return dataclasses.replace(stamps, opacity=stamps.opacity * factor)


def stamp(
    start, end, radius, cap, color, *, depth, opacity, second=None, stripes=0.0,
    band=9.0, soft=1.0,
) -> Stamps:  # fmt: skip
    """One stamp of a thing, which has no body."""
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
    """Stamps of a body turned by `yaw`, `shift` m to the right, `nearer` m nearer."""
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
        cloth=parts.cloth,
    )
