"""The renderer: a person, a camera and a walk become uint8 frames, in pure JAX."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from data.walkers import backdrop, body, looks, occluders, painting, sensor, stamps
from data.walkers.camera import Camera
from data.walkers.person import Person
from data.walkers.tracklet import Tracklet

# A passer-by is seen for moments, so without hands, neck, collar, bags and straps.
_PASSER_PARTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 18, 19, 20)


def render_frame(
    person: Person,
    camera: Camera,
    walk: Tracklet,
    frame,
    backdrops: UInt8[Array, "C 3 Hb Wb"],
    camid,
    optics: sensor.Optics,
    frame_size: tuple[int, int],
) -> UInt8[Array, "H W 3"]:
    """Frame `frame` (a whole number) of a tracklet, uint8 [H, W, 3].

    A box is twice as high as wide; a frame of other proportions shows it stretched.

    Args:
        person: The person.
        camera: The camera, as `looks.through` gives it.
        walk: The course of the tracklet.
        frame: Number of the frame, from 0.
        backdrops: Backdrop of each camera.
        camid: The camera's id.
        optics: Matrices of the tracklet, from `sensor.optics`.
        frame_size: Height and width of the frame in pixels.
    """
    height, width = frame_size
    aspect = walk.aspect * 2 * width / height
    key = jax.random.fold_in(jax.random.key(walk.noise_seed), frame)
    jitter_key, noise_key = jax.random.split(key)
    jitter = jax.random.normal(jitter_key, (3,)) * walk.jitter
    frame = jnp.asarray(frame, jnp.float32)
    yaw = walk.heading + walk.wander[0] * jnp.sin(
        walk.wander[1] * frame + walk.wander[2]
    )
    person = jax.tree.map(
        lambda a, b: jnp.where(frame >= walk.switch, b, a), person, walk.passer
    )

    # The box fits the person's height, so that height does not identify anyone.
    tall, flat = jnp.cos(camera.elevation), jnp.sin(camera.elevation)
    zoom = 1 + walk.zoom[0] * jnp.sin(walk.zoom[1] * frame + walk.zoom[2])
    # Seen from above, the shoulders fill the width of a box, which is half its height:
    # so a box is at least 1.25 m high.
    figure = jnp.maximum(person.build.height * tall + 0.40 * flat, 1.25)
    px_per_m = height * zoom / (figure * walk.scale * (1 + jitter[2]))
    slow = jnp.sin(walk.slip[2] + walk.slip[3] * frame)
    shift = (walk.offset + walk.slip[:2] * slow + jitter[:2]) * height
    middle = (0.9 - 0.5 * person.build.height) * tall * px_per_m
    centre = shift + jnp.stack([0.0, middle])

    phase = walk.phase + frame * person.gait.cadence * walk.pace
    parts = body.pose(person, phase, walk.effort)
    person_stamps = stamps.project(parts, yaw, camera, px_per_m, centre, 0.0, 0.0)
    feet = centre - jnp.stack([0.0, 0.9 * tall * px_per_m])
    person_stamps = stamps.concatenate(
        person_stamps, occluders.shadow_stamp(camera, feet, px_per_m)
    )
    is_drawn = 1.0 - walk.blank
    person_stamps = stamps.scale_opacity(person_stamps, is_drawn)

    start, velocity, nearer, is_on = walk.passing
    is_on = is_on * is_drawn * (frame < walk.switch)
    away = (frame - start) * velocity
    passer = body.pose(walk.passer, phase * 1.1 + 1.0, 1.0)
    passer = jax.tree.map(lambda a: a[jnp.array(_PASSER_PARTS)], passer)
    passer = stamps.project(
        passer, walk.passer_turn, camera, px_per_m, centre, away, nearer
    )
    passer = stamps.scale_opacity(passer, is_on)
    obstacle_stamps = occluders.obstacle_stamps(walk.obstacle, frame, height, tall)
    scene = _look_up(backdrops, camid, walk, frame, shift, frame_size, aspect)
    all_stamps = stamps.concatenate(person_stamps, passer, obstacle_stamps)
    scene = painting.paint(scene, all_stamps, camera, aspect)
    drift = walk.drift[0] * jnp.sin(walk.drift[1] + frame * walk.drift[2])
    motion = walk.speed * jnp.sin(yaw) * px_per_m * walk.figure_px * camera.figure_px
    comb = camera.interlace * 0.5 * motion / height
    return sensor.sense(
        scene, camera, optics, walk.exposure * (1 + drift), comb, noise_key
    )


def _look_up(backdrops, camid, walk, frame, shift, frame_size, aspect):
    """The part of the camera's backdrop behind the box: float [3, H, W]."""
    height, width = frame_size
    step = walk.near * backdrop.PX_PER_BOX / height
    # The box follows the person; 1.9 m are about a box height.
    across, along = walk.speed / 1.9 * backdrop.PX_PER_BOX * path_so_far(walk, frame)
    spare_x = backdrop.WIDTH - 1.25 * backdrop.PX_PER_BOX
    spare_y = backdrop.HEIGHT - 1.35 * backdrop.PX_PER_BOX
    left = walk.place[0] * spare_x + across - shift[0] * step
    top = walk.place[1] * spare_y + 0.15 * along + shift[1] * step
    columns = (left + jnp.arange(width) * (step / aspect)).astype(jnp.int32)
    columns = columns % backdrop.WIDTH
    top = jnp.clip(top, 0.0, backdrop.HEIGHT - height * step)
    rows = (top + jnp.arange(height) * step).astype(jnp.int32)
    rows = jnp.clip(rows, 0, backdrop.HEIGHT - 1)
    pixels = backdrops[camid, :, rows[:, None], columns[None]]
    scene = jnp.moveaxis(pixels, -1, 0).astype(jnp.float32) / 255
    return scene if walk.look is None else scene * walk.look.scene[:, None, None]


def path_so_far(walk, frame) -> Float[Array, "2"]:
    """The path since frame 0: across the picture, and towards the camera.

    In units of the distance walked in one frame. It is the integral of the heading's
    sine and cosine, to first order in the wander.
    """
    amplitude, speed, phase = walk.wander
    wander_path = amplitude / speed * (jnp.cos(phase) - jnp.cos(speed * frame + phase))
    sine, cosine = jnp.sin(walk.heading), jnp.cos(walk.heading)
    return frame * jnp.stack([sine, cosine]) + wander_path * jnp.stack([cosine, -sine])


@functools.partial(jax.jit, static_argnames=("num", "frame_size"))
def render_tracklet(
    person: Person,
    cameras: Camera,
    walk: Tracklet,
    backdrops: UInt8[Array, "C 3 Hb Wb"],
    camid,
    first,
    end,
    *,
    num: int,
    frame_size: tuple[int, int],
) -> UInt8[Array, "num H W 3"]:
    """`num` frames of a tracklet, starting at frame `first`.

    Frames from `end` on, and those past the tracklet's end, are not rendered: they
    stay 0.
    On a CPU frames are rendered one by one: each stays in the cache, and stamps that
    are not seen cost nothing. Elsewhere all are rendered at once.
    """
    camera = jax.tree.map(lambda a: a[camid], cameras)
    camera = looks.through(camera, walk.look)
    optics = sensor.optics(
        camera, walk.figure_px * camera.figure_px, walk.smear, frame_size
    )

    def frame(i):
        return render_frame(
            person, camera, walk, first + i, backdrops, camid, optics, frame_size
        )

    num_rendered = jnp.minimum(num, jnp.minimum(walk.num_frames, end) - first)
    if jax.default_backend() != "cpu":
        i = jnp.arange(num)
        return jax.vmap(frame)(i) * (i < num_rendered)[:, None, None, None]
    frames = jnp.zeros((num, *frame_size, 3), jnp.uint8)
    return jax.lax.fori_loop(
        0, num_rendered, lambda i, frames: frames.at[i].set(frame(i)), frames
    )
