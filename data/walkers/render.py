"""The renderer: a person, a camera and a tracklet to uint8 frames, in pure JAX.

Every primitive of the body projects to about a tapered capsule in the image. It is
painted, farthest first, with the coverage of each pixel from its signed distance and
shading from a pseudo normal. Then the camera responds: colour, blur, noise.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from data.walkers import body, scene
from data.walkers.person import Person, pytree

# The passer-by is seen for moments: no hands, feet or bags.
_PASSER_PARTS = (0, 1, 3, 4, 7, 8, 9, 10, 11, 13, 14, 17, 18)


@pytree
class Stamps:
    """Primitives projected to the image; pixels, x to the right, y up."""

    start: Float[Array, "K 2"]
    end: Float[Array, "K 2"]
    radius: Float[Array, "K 2"]
    cap: Float[Array, "K 2"]
    colors: Float[Array, "K 3 3"]
    stripes: Float[Array, "K"]
    columns: Float[Array, "K"]
    band: Float[Array, "K 2"]
    front: Float[Array, "K"]
    facing: Float[Array, "K 2"]
    """Cosine and sine of the angle from the camera to the body's front."""
    depth: Float[Array, "K"]
    opacity: Float[Array, "K"]


def _project(parts: body.Primitives, yaw, camera, px_per_m, centre, shift, nearer):
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
    cap = jnp.hypot(parts.cap * up_cos, along * up_sin) * px_per_m
    num = parts.front.shape[0]
    return Stamps(
        start=start,
        end=end,
        radius=jnp.stack([start_radius, end_radius], -1),
        cap=cap,
        colors=parts.colors,
        stripes=parts.stripes,
        columns=parts.columns,
        band=parts.band,
        front=parts.front,
        facing=jnp.broadcast_to(jnp.stack([cos, sin]), (num, 2)),
        depth=0.5 * (start_depth + end_depth) + parts.bias,
        opacity=parts.opacity,
    )


def _plain_stamp(start, end, radius, cap, color, depth, opacity) -> Stamps:
    two = functools.partial(jnp.broadcast_to, shape=(1, 2))
    zero = jnp.zeros((1,))
    return Stamps(
        start=two(start),
        end=two(end),
        radius=two(radius),
        cap=two(cap),
        colors=jnp.broadcast_to(color, (1, 3, 3)),
        stripes=zero,
        columns=zero,
        band=two(3.0),
        front=zero,
        facing=two(jnp.array([1.0, 0.0])),
        depth=jnp.full((1,), depth),
        opacity=jnp.broadcast_to(opacity, (1,)),
    )


def _paint(image, stamp: Stamps, x, y, camera):
    """`image` [3,H,W] with one stamp over it."""
    axis = stamp.end - stamp.start
    length = jnp.sqrt(jnp.sum(axis**2) + 1e-6)
    # An ellipsoid (length zero) stands upright.
    dx = jnp.where(length > 1e-2, axis[0] / length, 0.0)
    dy = jnp.where(length > 1e-2, axis[1] / length, 1.0)
    rel_x, rel_y = x - stamp.start[0], y - stamp.start[1]
    along = rel_x * dx + rel_y * dy
    across = rel_x * dy - rel_y * dx
    t = jnp.clip(along / length, 0.0, 1.0)
    width = stamp.radius[0] + t * (stamp.radius[1] - stamp.radius[0])
    side = across / width
    beyond = jnp.where(
        along < 0, along / stamp.cap[0], jnp.maximum(along - length, 0) / stamp.cap[1]
    )
    # Implicit surface q = 1; (q - 1) * q / |grad q| is the distance near it.
    q_squared = side**2 + beyond**2
    q = jnp.sqrt(q_squared + 1e-6)
    cap = jnp.where(along < 0, stamp.cap[0], stamp.cap[1])
    slope = jnp.sqrt((side / width) ** 2 + (beyond / cap) ** 2 + (1e-3 / width) ** 2)
    alpha = jnp.clip(0.5 - (q - 1) * q / slope, 0.0, 1.0) * stamp.opacity
    # Pattern: where the point lies on the body (from left to right, front or back).
    inside = jnp.clip(side, -1.0, 1.0)
    rim = jnp.sqrt(1.0 - inside**2)
    lateral = rim * stamp.facing[1] - inside * stamp.facing[0]
    ahead = rim * stamp.facing[0] + inside * stamp.facing[1]
    total = length + stamp.cap[0] + stamp.cap[1]
    height = (along + stamp.cap[0]) / total
    cycle = stamp.columns * 0.5 * lateral + stamp.stripes * height
    second = jnp.clip(6.0 * _triangle(cycle) - 1.5, 0.0, 1.0)
    edge = jnp.minimum(height - stamp.band[0], stamp.band[1] - height)
    second = jnp.maximum(second, jnp.clip(edge * total + 0.5, 0.0, 1.0))
    opening = jnp.clip((stamp.front - jnp.abs(lateral)) * width + 0.5, 0.0, 1.0)
    opening = jnp.where((ahead > 0) & (stamp.front > 0), opening, 0.0)
    # Shading from the pseudo normal.
    facing = jnp.sqrt(jnp.maximum(1.0 - q_squared, 0.0))
    normal_x = side * dy + beyond * dx
    normal_y = beyond * dy - side * dx
    light = camera.light
    lit = normal_x * light[0] + normal_y * light[1] + facing * light[2]
    folds = 0.05 * _triangle(along * (0.9 / width) + inside) * _triangle(0.3 * along)
    shade = camera.ambient + (1.15 - camera.ambient) * jnp.clip(lit, 0.0, 1.0) + folds
    # Without the barrier XLA would compute all of the above once per channel.
    alpha, second, opening, shade = jax.lax.optimization_barrier(
        (alpha, second, opening, shade)
    )
    base, other, under = (c[:, None, None] for c in stamp.colors)
    color = base + second * (other - base)
    color = color + opening * (under - color)
    return image + alpha * (color * shade - image)


def _triangle(x):
    """A triangle wave of period 1 between 0 (whole numbers) and 1 (halves)."""
    return 1.0 - 2.0 * jnp.abs(x - jnp.floor(x) - 0.5)


def _look_up(backdrops, tracklet, frame, yaw, shift, frame_size):
    """The part of the camera's backdrop behind the box: [3,H,W]."""
    height, width = frame_size
    step = tracklet.zoom * scene.BACKDROP_PX_PER_BOX / height
    # The box follows the person; 1.9 m are about a box height.
    moved = frame * tracklet.speed / 1.9 * scene.BACKDROP_PX_PER_BOX
    spare_x = scene.BACKDROP_WIDTH - 1.25 * scene.BACKDROP_PX_PER_BOX
    spare_y = scene.BACKDROP_HEIGHT - 1.3 * scene.BACKDROP_PX_PER_BOX
    left = tracklet.place[0] * spare_x + moved * jnp.sin(yaw)
    top = (0.1 + 0.9 * tracklet.place[1]) * spare_y + 0.2 * moved * jnp.cos(yaw)
    left = left - shift[0] * step
    top = jnp.clip(top + shift[1] * step, 0.0, spare_y)
    columns = jnp.round(left + jnp.arange(width) * step).astype(jnp.int32)
    columns = columns % scene.BACKDROP_WIDTH
    rows = jnp.round(top + jnp.arange(height) * step).astype(jnp.int32)
    rows = jnp.clip(rows, 0, scene.BACKDROP_HEIGHT - 1)
    pixels = backdrops[tracklet.camid, :, rows[:, None], columns[None]]
    return jnp.moveaxis(pixels, -1, 0)


def _blur(image, sigma_y, sigma_x):
    """Separable Gaussian with seven taps, edges repeated."""
    taps = jnp.arange(-3, 4)
    for axis, sigma in ((1, sigma_y), (2, sigma_x)):
        weights = jnp.exp(-0.5 * (taps / jnp.maximum(sigma, 0.05)) ** 2)
        weights = weights / weights.sum()
        pad = [(3, 3) if i == axis else (0, 0) for i in range(3)]
        padded = jnp.pad(image, pad, mode="edge")
        size = image.shape[axis]
        image = sum(
            weights[i] * jax.lax.slice_in_dim(padded, i, i + size, axis=axis)
            for i in range(7)
        )
    return image


def _respond(image, camera, tracklet, frame, key):
    """What the sensor makes of the light: uint8 [3,H,W]."""
    height = image.shape[1]
    drift = tracklet.drift[0] * jnp.sin(tracklet.drift[1] + frame * tracklet.drift[2])
    image = image * (camera.gain * (1 + drift))[:, None, None]
    grey = scene.MID_GREY
    image = grey * (jnp.clip(image, 1e-3, 1.2) / grey) ** camera.gamma
    image = grey + camera.contrast * (image - grey) + camera.haze
    luma = image.mean(0, keepdims=True)
    image = luma + camera.saturation * (image - luma)
    sigma = camera.blur * height
    image = _blur(image, sigma, jnp.hypot(sigma, tracklet.motion * height))
    # The sum of two uniform half-bytes: triangular, standard deviation 6.52.
    bits = jax.random.bits(key, image.shape, jnp.uint8)
    noise = (bits & 15).astype(jnp.float32) + (bits >> 4).astype(jnp.float32) - 15
    image = jnp.clip(image + noise * (camera.noise / 6.52), 0.0, 1.0)
    return jnp.round(image * 255).astype(jnp.uint8)


def render_frame(
    person: Person,
    camera: scene.Camera,
    tracklet: scene.Tracklet,
    frame: Array,
    backdrops: Float[Array, "C 3 Hb Wb"],
    *,
    frame_size: tuple[int, int],
) -> UInt8[Array, "H W 3"]:
    """Frame number `frame` of a tracklet; `frame_size` is (height, width)."""
    height, width = frame_size
    key = jax.random.fold_in(jax.random.key(tracklet.noise_seed), frame)
    jitter_key, noise_key = jax.random.split(key)
    jitter = jax.random.normal(jitter_key, (3,)) * tracklet.jitter
    frame = frame.astype(jnp.float32)
    yaw = tracklet.heading + frame * tracklet.turn

    # The box fits the person's own height, so that height does not tell who it is.
    tall, flat = jnp.cos(camera.elevation), jnp.sin(camera.elevation)
    figure = person.build.height * tall + 0.30 * flat
    px_per_m = height / (figure * tracklet.scale * (1 + jitter[2]))
    shift = (tracklet.offset + jitter[:2]) * height
    middle = (0.9 - 0.5 * person.build.height) * tall * px_per_m
    centre = shift + jnp.stack([0.0, middle])

    phase = tracklet.phase + frame * person.gait.cadence * tracklet.pace
    parts = body.pose(person, phase, tracklet.effort)
    figure = _project(parts, yaw, camera, px_per_m, centre, 0.0, 0.0)

    passer = body.pose(tracklet.passer, phase * 1.1 + 1.0, 1.0)
    passer = jax.tree.map(lambda a: a[jnp.array(_PASSER_PARTS)], passer)
    start, velocity, nearer, is_on = tracklet.passing
    passer = passer.__class__(**{**vars(passer), "opacity": passer.opacity * is_on})
    away = (frame - start) * velocity
    turn = tracklet.passer_turn
    passer = _project(passer, turn, camera, px_per_m, centre, away, nearer)

    foot = -0.9 * tall * px_per_m + centre[1]
    ground = jnp.stack([centre[0] - 0.25 * camera.light[0] * px_per_m, foot])
    shadow = _plain_stamp(
        ground, ground, 0.36 * px_per_m, (0.06 + 0.25 * flat) * px_per_m,
        jnp.full((3,), 0.12), -9.0, camera.shadow,
    )  # fmt: skip
    central, speed, half_width, top, is_on = tracklet.pole
    at = jnp.stack([(frame - central) * speed * height, -0.6 * height])
    pole = _plain_stamp(
        at, at + jnp.stack([0.0, (0.1 + top) * height]), half_width * height,
        0.02 * height, tracklet.pole_color, 9.0, is_on,
    )  # fmt: skip
    stamps = jax.tree.map(lambda *a: jnp.concatenate(a), shadow, figure, passer, pole)
    order = jnp.argsort(stamps.depth)
    stamps = jax.tree.map(lambda a: a[order], stamps)

    x = (jnp.arange(width) + 0.5 - width / 2)[None]
    y = (height / 2 - jnp.arange(height) - 0.5)[:, None]
    image = _look_up(backdrops, tracklet, frame, yaw, shift, frame_size)
    image, _ = jax.lax.scan(
        lambda image, stamp: (_paint(image, stamp, x, y, camera), None),
        image,
        stamps,
    )
    image = _respond(image, camera, tracklet, frame, noise_key)
    return jnp.moveaxis(image, 0, -1)


@functools.partial(jax.jit, static_argnames="frame_size")
def render_frames(
    persons: Person,
    cameras: scene.Camera,
    tracklets: scene.Tracklet,
    frames: Array,
    backdrops: Float[Array, "C 3 Hb Wb"],
    *,
    frame_size: tuple[int, int],
) -> UInt8[Array, "B H W 3"]:
    """`render_frame` over a batch; every argument but `backdrops` has a leading B."""
    one = functools.partial(render_frame, frame_size=frame_size)
    over = jax.vmap(one, in_axes=(0, 0, 0, 0, None))
    return over(persons, cameras, tracklets, frames, backdrops)
