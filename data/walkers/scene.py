"""What surrounds the body: cameras with their backdrops, and a tracklet's course.

Angles are radians, lengths metres unless a name says otherwise. Positions in the
image are in box heights: 1 is the height of a frame. Nothing here depends on the
person who is seen.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from data.walkers.person import Person, between, choose, pytree, sample_person

MID_GREY = 0.46
"""The grounds' brightness, which every camera's exposure aims at."""

BACKDROP_HEIGHT = 256
BACKDROP_WIDTH = 1024
BACKDROP_PX_PER_BOX = 128


@pytree
class Camera:
    """A place, a lens and a sensor."""

    heading: Array
    """Direction of the path people walk, -pi to pi; 0 comes towards the camera."""
    elevation: Array
    """Downward tilt of the view, 0.08 to 0.60 rad."""
    distance: Array
    """Distance to the person, 6 to 20 m: sets the perspective."""
    gain: Float[Array, "3"]
    """Factor per channel: exposure 0.95 to 1.05, white balance 0.98 to 1.02."""
    gamma: Array
    """Exponent of the response, 0.88 to 1.14; mid-grey stays (automatic exposure)."""
    saturation: Array
    """0.75 to 1.10; 0 would be grey."""
    contrast: Array
    """Factor about mid-grey, 0.90 to 1.06."""
    haze: Array
    """Light added to every pixel, 0.00 to 0.01."""
    blur: Array
    """Standard deviation of the lens blur, 0.003 to 0.012 box heights."""
    noise: Array
    """Standard deviation of the sensor noise, 0.008 to 0.020."""
    quality: Array
    """JPEG quality, 60 to 92."""
    light: Float[Array, "3"]
    """Unit vector to the light: image right, image up, towards the camera."""
    ambient: Array
    """Light on surfaces turned away, 0.58 to 0.70."""
    shadow: Array
    """Darkness of the shadow on the ground, 0.05 to 0.45."""
    ground: Float[Array, "3"]
    wall: Float[Array, "3"]
    horizon: Array
    """Where the ground meets the wall, 0 (backdrop's top) to 0.75."""


@pytree
class Tracklet:
    """One walk of one person through one camera, and all that disturbs it."""

    camid: Array
    num_frames: Array
    heading: Array
    """The camera's path either way, with a spread of 0.35 rad."""
    turn: Array
    """Change of heading, normal with 0.012 rad per frame."""
    phase: Array
    """Phase of the gait in frame 0, 0 to 2 pi."""
    pace: Array
    """Factor on the cadence, 0.85 to 1.15."""
    effort: Array
    """Factor on all swings: 0.8 to 1.1, or 0.05 for those who stand (8 %)."""
    speed: Array
    """Walking speed, 0.08 to 0.16 m per frame; 0 for those who stand."""
    offset: Float[Array, "2"]
    """The box's error all along, normal with 0.02 (x) and 0.015 (y) box heights."""
    jitter: Array
    """The box's error per frame, standard deviation 0.002 to 0.012 box heights."""
    scale: Array
    """Box height over the figure's, 1.00 to 1.12."""
    motion: Array
    """Standard deviation of the motion's blur across, 0 to 0.008 box heights."""
    drift: Float[Array, "3"]
    """Light over time: amplitude 0 to 0.10, phase, step 0.02 to 0.15 rad per frame."""
    place: Float[Array, "2"]
    """Where in the backdrop the walk starts, 0 to 1 in x and in y."""
    zoom: Array
    """Backdrop pixels per nominal pixel, 0.75 to 1.25."""
    pole: Float[Array, "5"]
    """Post: frame in which it is central, box heights per frame, half-width, top, on.

    On in 16 % of the tracklets; full height, or 0.2 to 0.5 high (a car, a bench).
    """
    pole_color: Float[Array, "3"]
    passer: Person
    """Another person who crosses, or walks along."""
    passing: Float[Array, "4"]
    """Central frame, metres per frame, metres nearer the camera, on.

    On in 32 % of the tracklets, in half of these behind the person.
    """
    passer_turn: Array
    noise_seed: Array


def _normal(u, scale=1.0):
    """A normal number from uniform `u`, cut at 2.6 standard deviations."""
    return scale * jnp.clip(jax.scipy.special.ndtri(between(u, 1e-4, 1.0)), -2.6, 2.6)


@jax.jit
def sample_camera(key, camid) -> Camera:
    """Camera `camid` of a world; its heading is spread so that views differ."""
    u = iter(jax.random.uniform(key, (64,)))
    n = functools.partial(next, u)

    def vector(low, high):
        return jnp.stack([between(n(), low, high) for _ in range(3)])

    heading = jnp.pi * (0.27 * camid + 0.15 * n())
    light = jnp.stack([between(n(), -0.8, 0.8), between(n(), 0.3, 0.9), 0.6])
    tint = vector(0.97, 1.03)
    grounds = jnp.array(
        [[0.46, 0.46, 0.46], [0.47, 0.46, 0.44], [0.45, 0.46, 0.46], [0.44, 0.46, 0.42]]
    )
    walls = jnp.array(
        [[0.48, 0.47, 0.45], [0.49, 0.43, 0.40], [0.41, 0.45, 0.39], [0.50, 0.50, 0.51]]
    )
    ground = grounds[choose(n(), (3, 3, 3, 1))]
    return Camera(
        heading=heading,
        elevation=between(n(), 0.08, 0.60),
        distance=between(n(), 6.0, 20.0),
        gain=between(n(), 0.95, 1.05) * vector(0.98, 1.02),
        gamma=between(n(), 0.88, 1.14),
        saturation=between(n(), 0.75, 1.10),
        contrast=between(n(), 0.90, 1.06),
        haze=between(n(), 0.00, 0.01),
        blur=between(n(), 0.003, 0.012),
        noise=between(n(), 0.008, 0.020),
        quality=jnp.round(between(n(), 60, 92)),
        light=light / jnp.linalg.norm(light),
        ambient=between(n(), 0.58, 0.70),
        shadow=between(n(), 0.05, 0.45),
        ground=ground * tint,
        wall=walls[choose(n(), (1, 1, 1, 1))] * tint,
        horizon=jnp.clip(between(n(), -0.3, 0.75), 0.0),
    )


@jax.jit
def sample_tracklet(key, camera: Camera, camid, num_frames) -> Tracklet:
    """A walk of `num_frames` frames; the ranges are in the fields' descriptions."""
    draw_key, passer_key, seed_key = jax.random.split(key, 3)
    u = iter(jax.random.uniform(draw_key, (64,)))
    n = functools.partial(next, u)
    way = jnp.where(n() < 0.5, 0.0, jnp.pi)
    stands = n() < 0.08
    is_post = n() < 0.5
    crossing = n() < 0.7
    side = jnp.where(n() < 0.5, -1.0, 1.0)
    pole = jnp.stack(
        [
            n() * num_frames,
            jnp.where(n() < 0.5, -1, 1) * between(n(), 0.05, 0.14),
            jnp.where(is_post, between(n(), 0.02, 0.07), between(n(), 0.12, 0.35)),
            jnp.where(is_post, 2.0, between(n(), 0.20, 0.50)),
            n() < 0.16,
        ]
    )
    # Those who walk along stay 0.45 to 0.7 m to one side.
    along = side * between(n(), 0.45, 0.70)
    velocity = side * between(n(), 0.10, 0.30)
    passing = jnp.stack(
        [
            jnp.where(crossing, n() * num_frames, -along / 1e-3),
            jnp.where(crossing, velocity, 1e-3),
            jnp.where(n() < 0.5, -0.8, 0.8),
            n() < 0.32,
        ]
    )
    return Tracklet(
        camid=camid,
        num_frames=num_frames,
        heading=camera.heading + way + _normal(n(), 0.35),
        turn=_normal(n(), 0.012),
        phase=between(n(), 0.0, 2 * jnp.pi),
        pace=between(n(), 0.85, 1.15),
        effort=jnp.where(stands, 0.05, between(n(), 0.8, 1.1)),
        speed=jnp.where(stands, 0.0, between(n(), 0.08, 0.16)),
        offset=jnp.stack([_normal(n(), 0.02), _normal(n(), 0.015)]),
        jitter=between(n(), 0.002, 0.012),
        scale=between(n(), 1.00, 1.12),
        motion=between(n(), 0.0, 0.008),
        drift=jnp.stack([0.1 * n(), 6.28 * n(), between(n(), 0.02, 0.15)]),
        place=jnp.stack([n(), n()]),
        zoom=between(n(), 0.75, 1.25),
        pole=pole,
        pole_color=between(n(), 0.15, 0.75) * jnp.stack([1.0, 0.9 + 0.1 * n(), 0.9]),
        passer=sample_person(passer_key),
        passing=passing,
        passer_turn=jnp.where(
            crossing, side * jnp.pi / 2, camera.heading + way + _normal(n(), 0.3)
        ),
        noise_seed=jax.random.bits(seed_key, dtype=jnp.uint32),
    )


@jax.jit
def paint_backdrop(key, camera: Camera) -> Float[Array, "3 Hb Wb"]:
    """What the camera sees without people, several boxes wide and two high.

    Ground below the horizon and wall above, patches of texture, windows, doors, cars
    and signs as rectangles, markings as slanted lines.
    """
    texture_key, rect_key, line_key = jax.random.split(key, 3)
    shape = (BACKDROP_HEIGHT, BACKDROP_WIDTH)
    rows = (jnp.arange(shape[0]) + 0.5)[:, None] / shape[0]
    columns = (jnp.arange(shape[1]) + 0.5)[None] / BACKDROP_PX_PER_BOX
    is_ground = jax.nn.sigmoid((rows - camera.horizon) * 120)
    ground, wall = camera.ground[:, None, None], camera.wall[:, None, None]
    image = wall + is_ground * (ground - wall)
    for octave, cell in enumerate((128, 32, 8, 2)):
        key = jax.random.fold_in(texture_key, octave)
        grid = (shape[0] // cell + 1, shape[1] // cell // 2)
        grid = jax.random.uniform(key, (4, *grid)) - 0.5
        patches = jax.image.resize(grid, (4, *shape), "linear")
        light, tint = patches[:1], patches[1:]
        image = image * (1 + (0.15, 0.40, 0.50, 0.50)[octave] * light)
        image = image * (1 + (0.08, 0.16, 0.14, 0.00)[octave] * tint)

    def rectangle(i, image):
        u = iter(jax.random.uniform(jax.random.fold_in(rect_key, i), (9,)))
        n = functools.partial(next, u)
        x, width = between(n(), 0.0, 8.0), between(n(), 0.05, 0.7) ** 1.3
        y, height = between(n(), -0.1, 1.0) * camera.horizon, between(n(), 0.02, 0.2)
        on_ground = i < 6
        y = jnp.where(on_ground, between(n(), 0.1, 1.0), y)
        height = jnp.where(on_ground, 0.5 * height, height)
        grey = between(n(), 0.08, 0.70)
        color = grey * (1 + 0.35 * (jnp.stack([n(), n(), n()]) - 0.5))
        inside = jnp.clip((width / 2 - jnp.abs(columns - x)) * 80 + 0.5, 0, 1)
        inside *= jnp.clip((height / 2 - jnp.abs(rows - y)) * 160 + 0.5, 0, 1)
        return image + 0.8 * inside * (color[:, None, None] - image)

    def line(i, image):
        u = jax.random.uniform(jax.random.fold_in(line_key, i), (5,))
        slope = between(u[1], -0.6, 0.6)
        middle = 2 * (rows - between(u[0], 0.2, 1.2)) - slope * (columns - 8 * u[2])
        inside = is_ground * jnp.clip(
            (0.012 + 0.02 * u[3] - jnp.abs(middle)) * 80, 0, 1
        )
        color = jnp.where(u[4] < 0.6, 0.78, 0.25) * jnp.array([1.0, 0.97, 0.9])
        return image + 0.6 * inside * (color[:, None, None] - image)

    image = jax.lax.fori_loop(0, 6, line, image)
    image = jax.lax.fori_loop(0, 30, rectangle, image)
    # The camera's automatic exposure and white balance.
    image = image * (MID_GREY / image.mean((1, 2), keepdims=True))
    return jnp.clip(image, 0, 1)
