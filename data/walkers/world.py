"""Renders worlds of walkers: `World(sizes).render(entries)` yields their frames."""

import collections
import dataclasses
import functools
import io
import itertools
import os
import threading
from collections.abc import Iterator
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from data.walkers import backdrop, camera, person, plan, render, tracklet
from data.walkers.plan import Entry
from data.walkers.sizes import SIZES, Sizes

__all__ = ["SIZES", "Entry", "Sizes", "World", "generate"]

VERSION = "2.3.1"
"""Version of the pixels: changes with any of their bits."""

CHUNK = 32
"""Frames that one call renders. It is fixed, so that one program makes all bytes."""

_nth_person = jax.jit(person.nth_person, static_argnames="twins")
_sample_camera = jax.jit(camera.sample_camera)
_sample_tracklet = jax.jit(tracklet.sample_tracklet)


class World:
    """The cameras of a world, and the pixels of its tracklets."""

    def __init__(self, sizes: Sizes):
        self.sizes = sizes
        variety = sizes.style.variety
        cameras = [
            _sample_camera(self._key(plan.CAMERA, camid), camid, sizes.style)
            for camid in range(sizes.num_cameras)
        ]
        places_share = None if variety is None else variety.places
        self.backdrops = jnp.stack(
            [
                backdrop.paint_backdrop(
                    self._key(plan.BACKDROP, camid),
                    a_camera,
                    sizes.style.clutter,
                    places_share,
                )
                for camid, a_camera in enumerate(cameras)
            ]
        )
        self.cameras = jax.tree.map(lambda *arrays: np.stack(arrays), *cameras)
        self.person = functools.lru_cache(64)(self._person)

    def _key(self, *path: int):
        """The key of a path of numbers, with the world's seed."""
        return plan.key(self.sizes.seed, *path)

    def _person(self, number: int, day: int) -> person.Person:
        """Person `number` on a day, as NumPy arrays."""
        key, style = self._key(plan.PERSON), self.sizes.style
        look = {"dark": style.dark, "variety": style.variety}
        return _numpy(_nth_person(key, number, day, twins=self.sizes.twins, **look))

    def tracklet(self, entry: Entry) -> tracklet.Tracklet:
        """The course of one tracklet."""
        key = self._key(plan.TRACKLET, entry.person, entry.camid, entry.index)
        a_camera = jax.tree.map(lambda a: a[entry.camid], self.cameras)
        frames = np.int32(entry.num_frames)
        walk = _numpy(_sample_tracklet(key, a_camera, frames, self.sizes.style))
        if entry.pid == plan.JUNK_PID:  # junk: the box is beside the person
            side = np.where(walk.offset >= 0, 1, -1) * np.array([0.26, 0.12])
            walk = dataclasses.replace(walk, offset=np.float32(walk.offset + side))
        return walk

    def jpeg(self, camid: int, frame: np.ndarray) -> bytes:
        """The bytes of a frame's JPEG file, in the quality of its camera."""
        file = io.BytesIO()
        quality = int(self.cameras.quality[camid])
        Image.fromarray(frame).save(file, "JPEG", quality=quality)
        return file.getvalue()

    def render(
        self, entries: list[Entry], max_frames: int | None = None
    ) -> Iterator[tuple[Entry, np.ndarray]]:
        """Yields each entry with its frames, uint8 [T, H, W, 3], in order.

        As many threads as CPUs render. The bytes of a tracklet depend only on the world
        and the entry. A caller that stops early waits only for the chunks in progress.

        Args:
            entries: Tracklets to render.
            max_frames: Frames to render of longer tracklets, their first ones; by
                default all.
        """
        stop = threading.Event()
        render = functools.partial(self._frames, max_frames=max_frames, stop=stop)
        num_threads = len(os.sched_getaffinity(0))
        pending = collections.deque()
        with futures.ThreadPoolExecutor(num_threads) as pool:
            waiting = iter(entries)
            try:
                for entry in itertools.islice(waiting, 2 * num_threads):
                    pending.append((entry, pool.submit(render, entry)))
                while pending:
                    entry, frames = pending.popleft()
                    yield entry, frames.result()
                    for entry in itertools.islice(waiting, 1):
                        pending.append((entry, pool.submit(render, entry)))
            finally:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _frames(
        self, entry: Entry, max_frames: int | None, stop: threading.Event
    ) -> np.ndarray:
        """The frames of a tracklet; CancelledError once `stop` is set."""
        walk = self.tracklet(entry)
        num = entry.num_frames if max_frames is None else max_frames
        num = min(entry.num_frames, num)
        chunks = []
        for first in range(0, num, CHUNK):
            if stop.is_set():
                raise futures.CancelledError
            chunks.append(np.asarray(self._chunk(entry, walk, first, num)))
        return np.concatenate(chunks)[:num]

    def frame(self, entry: Entry, index: int) -> np.ndarray:
        """One frame of a tracklet, uint8 [H, W, 3]; IndexError past its end."""
        if not 0 <= index < entry.num_frames:
            raise IndexError(f"{entry.name} has no frame {index}.")
        walk = self.tracklet(entry)
        return np.asarray(self._chunk(entry, walk, index, index + 1)[0])

    def _chunk(self, entry: Entry, walk, first: int, end: int):
        """`CHUNK` frames from frame `first` on; those from frame `end` on are 0."""
        day = int(entry.index > 0) if self.sizes.days > 1 else 0
        return render.render_tracklet(
            self.person(entry.person, day), self.cameras, walk, self.backdrops,
            np.int32(entry.camid), np.int32(first), np.int32(end),
            num=CHUNK, frame_size=self.sizes.frame_size,
        )  # fmt: skip


def generate(
    sizes: Sizes, split: str | None = None
) -> Iterator[tuple[str, str, int, int, np.ndarray]]:
    """Yields (split, name, pid, camid, frames) of all tracklets, or of one split's."""
    entries = [e for e in plan.plan(sizes) if split in (None, e.split)]
    for entry, frames in World(sizes).render(entries):
        yield entry.split, entry.name, entry.pid, entry.camid, frames


def _numpy(tree):
    """The tree with NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
