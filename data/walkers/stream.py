"""Streams walkers without files: clips of any persons, rendered on the device.

    street = stream.Street(World(SIZES["street_small"]))
    persons = stream.first_person(street.sizes.twins) + jnp.arange(8)
    clips = street.clips(key, persons, k=4, clip_length=4)

Cameras and nuisances are those of the files, with two differences. There are no JPEG
artefacts. All tracklets are as long as the files' median, or a clip if that is longer;
passers-by and obstacles come within that time. Persons are drawn like those of the
files but have other numbers: nobody from the files is among them.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt8

from data.walkers import looks, plan, render, sensor
from data.walkers.person import nth_person
from data.walkers.tracklet import sample_tracklet
from data.walkers.world import World
from reid_jax.errors import UserError

FIRST_PERSON = (1 << 24) + 1
"""Smallest number of streamed persons; those of the files have lower ones."""


class Street:
    """The cameras of a world, for any number of persons."""

    def __init__(self, world: World):
        self.sizes = sizes = world.sizes
        self._cameras = jax.tree.map(jnp.asarray, world.cameras)
        self._backdrops = jnp.asarray(world.backdrops)
        self._seed_key = plan.key(sizes.seed, plan.PERSON)

    def clips(
        self, key, persons: Int[Array, "N"], *, k: int, clip_length: int, rows=None
    ) -> UInt8[Array, "B T H W 3"]:
        """K clips of each person, next to each other, uint8 [B, T, H, W, 3].

        Each clip is from a separate tracklet. A person's K tracklets go through the
        cameras in order, from a random one on.

        Args:
            key: Random key.
            persons: Numbers of the persons [N], from `FIRST_PERSON`.
            k: Clips of each person, K.
            clip_length: Frames of a clip, T.
            rows: Which of the N·K clips to render; by default all.
        """
        if min(len(persons), k, clip_length) < 1:
            raise UserError(
                f"{len(persons)} persons, k={k}, clip_length={clip_length}: all must "
                "be at least 1."
            )
        where_key, walk_key = jax.random.split(key)
        rows = jnp.arange(len(persons) * k) if rows is None else jnp.asarray(rows)
        return _render(
            where_key, walk_key, jnp.repeat(persons, k), rows, self._seed_key,
            self._cameras, self._backdrops, self.sizes.style, k=k,
            clip_length=clip_length, twins=self.sizes.twins, days=self.sizes.days,
            median=self.sizes.median_frames, frame_size=self.sizes.frame_size,
            chunk=1 if jax.default_backend() == "cpu" else 256,
        )  # fmt: skip


def first_person(twins: int) -> int:
    """The first number from `FIRST_PERSON` on that begins a group of twins."""
    return FIRST_PERSON + -(FIRST_PERSON - 1) % twins


@functools.partial(
    jax.jit,
    static_argnames=(
        "k", "clip_length", "twins", "days", "median", "frame_size", "chunk",
    ),
)  # fmt: skip
def _render(
    where_key, walk_key, persons, rows, seed_key, cameras, backdrops, style, *, k,
    clip_length, twins, days, median, frame_size, chunk,
):  # fmt: skip
    """Samples and renders the clips `rows`; compiled once for each set of sizes."""
    B, T = persons.shape[0], clip_length
    p, num_cameras = B // k, backdrops.shape[0]
    start = jax.random.randint(where_key, (p,), 0, num_cameras)
    camids = (jnp.repeat(start, k) + jnp.tile(jnp.arange(k), p)) % num_cameras
    walk_keys = jax.random.split(walk_key, B)

    def course(person, camid, walk_key):
        day_key, frame_key, walk_key = jax.random.split(walk_key, 3)
        day = jax.random.randint(day_key, (), 0, days)
        someone = nth_person(
            seed_key, person, day, twins=twins, dark=style.dark, variety=style.variety
        )
        camera = jax.tree.map(lambda a: a[camid], cameras)
        length = jnp.maximum(T, round(median))
        walk = sample_tracklet(walk_key, camera, length, style)
        first = jax.random.randint(frame_key, (), 0, length - T + 1)
        camera = looks.through(camera, walk.look)
        optics = sensor.optics(
            camera, walk.figure_px * camera.figure_px, walk.smear, frame_size
        )
        return someone, camera, walk, camid, optics, first

    courses = jax.vmap(course)(persons[rows], camids[rows], walk_keys[rows])

    def frame(number):
        clip, t = number // T, number % T
        someone, camera, walk, camid, optics, first = jax.tree.map(
            lambda a: a[clip], courses
        )
        return render.render_frame(
            someone, camera, walk, first + t, backdrops, camid, optics, frame_size
        )

    numbers = jnp.arange(len(rows) * T)
    if chunk == 1:  # a CPU's cache holds one frame
        frames = jax.lax.map(frame, numbers)
    else:
        frames = jax.lax.map(frame, numbers, batch_size=chunk)
    return frames.reshape(len(rows), T, *frame_size, 3)
