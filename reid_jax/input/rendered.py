"""Renders batches of clips from one or more worlds, without files or TensorFlow."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from data.walkers import plan, stream, world
from data.walkers.plan import Entry
from data.walkers.sizes import SIZES, Sizes
from data.walkers.world import World
from reid_jax import clips, parallel
from reid_jax.arrays import Array
from reid_jax.errors import UserError
from reid_jax.input import augmentation, colors, jitter, noise, pixels, resizing


@dataclasses.dataclass(frozen=True)
class Split:
    """Tracklets of a world, without their frames."""

    sizes: Sizes
    entries: list[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def world(self) -> World:
        return _build_world(self.sizes)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of everything that is rendered: tracklets, world and its version."""
        text = f"{world.VERSION} {self.sizes} {self.entries}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @functools.cached_property
    def names(self) -> np.ndarray:
        return np.array([entry.name for entry in self.entries], np.str_)

    @functools.cached_property
    def pids(self) -> np.ndarray:
        return np.array([entry.pid for entry in self.entries], np.int64)

    @functools.cached_property
    def camids(self) -> np.ndarray:
        return np.array([entry.camid for entry in self.entries], np.int64)

    @functools.cached_property
    def num_frames(self) -> np.ndarray:
        return np.array([entry.num_frames for entry in self.entries], np.int64)


@dataclasses.dataclass(frozen=True)
class JoinedSplit:
    """The training tracklets of several worlds, with different pids and camids."""

    parts: tuple[Split, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @functools.cached_property
    def fingerprint(self) -> str:
        return " ".join(part.fingerprint for part in self.parts)

    @functools.cached_property
    def names(self) -> np.ndarray:
        return np.concatenate([part.names for part in self.parts])

    @functools.cached_property
    def pids(self) -> np.ndarray:
        offsets = np.cumsum([0, *(part.pids.max() for part in self.parts[:-1])])
        return np.concatenate(
            [part.pids + first for part, first in zip(self.parts, offsets, strict=True)]
        )

    @functools.cached_property
    def camids(self) -> np.ndarray:
        num_cameras = [part.sizes.num_cameras for part in self.parts[:-1]]
        offsets = np.cumsum([0, *num_cameras])
        return np.concatenate(
            [
                part.camids + first
                for part, first in zip(self.parts, offsets, strict=True)
            ]
        )

    @functools.cached_property
    def num_frames(self) -> np.ndarray:
        return np.concatenate([part.num_frames for part in self.parts])


class RenderedSource:
    """Walkers, rendered at `config.model.frame_size`; see `source.Source`.

    Query and gallery are the tracklets of the world's files, rendered again for each
    evaluation. Training clips show other persons, and each clip is rendered as a new
    tracklet. With `config.data.mixture` they come from several worlds; every batch has
    the same numbers of persons from each.
    """

    protocols: tuple[str, ...] = ("standard",)
    more_protocols: tuple[str, ...] = ()
    clean_labels = None

    def __init__(self, config):
        data = config.data
        self.name = data.name
        self._seed, self._p, self._k = config.seed, data.p, data.k
        self._clip_length = config.model.clip_length
        self._batch_clips = config.eval.batch_clips
        self._max_frames, self._noise = config.eval.max_frames, config.eval.noise
        self._augmentation = augmentation.build_augmentation(config)
        self._jitter = jitter.build_jitter(config)
        self._color = pixels.mean_color(data.normalization)
        frame_size = config.model.frame_size
        sizes = _sizes_of(data.name, frame_size)
        entries = plan.plan(sizes)
        self._splits = {"train": _training(sizes, data.num_persons)}
        for name in ("query", "gallery"):
            split_entries = [entry for entry in entries if entry.split == name]
            self._splits[name] = Split(sizes, split_entries)
        self._training_splits = (self._splits["train"],)
        if data.mixture:
            self._training_splits = tuple(
                _training(_sizes_of(name, frame_size), data.num_persons)
                for name in data.mixture
            )
        self._shares = data.mixture_weights

    @property
    def fingerprint(self) -> str:
        """Hash of the tracklets of query and gallery."""
        parts = (self._splits[name].fingerprint for name in ("query", "gallery"))
        return " ".join(parts)

    @functools.cached_property
    def training(self) -> Split | JoinedSplit:
        """Tracklets of the training persons, on which a metric is learnt."""
        return (
            self._training_splits[0]
            if len(self._training_splits) == 1
            else JoinedSplit(self._training_splits)
        )

    @functools.cached_property
    def pids(self) -> np.ndarray:
        """Person id of each label."""
        return np.unique(self.training.pids)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in which every training identity occurs at least once."""
        return max(
            clips.batches_per_epoch(pids, p)
            for pids, p in zip(self._persons, self._persons_of_batch, strict=True)
        )

    @functools.cached_property
    def _persons(self) -> list[np.ndarray]:
        """Person ids of each world, before they are renumbered for a mixture."""
        return [np.unique(part.pids) for part in self._training_splits]

    @functools.cached_property
    def _persons_of_batch(self) -> list[int]:
        """Number of a batch's P persons that come from each world."""
        shares = np.array(self._shares or [len(pids) for pids in self._persons])
        if len(shares) > self._p:
            raise UserError(
                f"config.data.p={self._p} is too few for a person of each of the "
                f"{len(shares)} worlds of config.data.mixture."
            )
        return _split_evenly(self._p, shares)

    def split(self, name: str) -> Split:
        """The split `name`: "train", "query" or "gallery"."""
        return self._splits[name]

    def train_clips(self, first_step: int = 0) -> Iterator[tuple[np.ndarray, int, int]]:
        """Yields (labels [P*K], epoch, position in the epoch) of each batch.

        It starts at step `first_step` and never ends. The epoch is that of the first
        world, as other worlds may have more or fewer persons.
        """
        streams, first_label = [], 0
        for index, pids in enumerate(self._persons):
            # One item per person takes the place of tracklets: the sampler repeats it
            # K times.
            labels, p = np.arange(len(pids)), self._persons_of_batch[index]
            seed = self._seed + index * _NEXT_SEED
            batches = clips.batches_from(first_step, labels, p, self._k, seed=seed)
            streams.append((first_label, batches))
            first_label += len(pids)
        while True:
            batch = [(first, *next(batches)) for first, batches in streams]
            labels = np.concatenate([first + persons for first, _, _, persons in batch])
            yield labels, *batch[0][1:3]

    def train_batches(
        self, first_step: int = 0, mesh: Mesh | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """See `Source.train_batches`."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        k, T = self._k, self._clip_length
        rows = parallel.local_rows(self._p * k, mesh)
        streets = [stream.Street(part.world) for part in self._training_splits]
        pids = np.concatenate(self._persons)
        # First row of each world in a batch.
        starts = k * np.cumsum([0, *self._persons_of_batch])

        def render(labels: np.ndarray, epoch: int, position: int) -> dict:
            rendered = []
            for index, street in enumerate(streets):
                start, end = starts[index : index + 2]
                local_rows = rows[(start <= rows) & (rows < end)] - start
                if not len(local_rows):
                    continue
                world_number = (index,) if index else ()
                key = plan.key(self._seed, plan.BATCH, epoch, position, *world_number)
                persons = pids[labels[start:end:k]]
                rendered.append(
                    street.clips(key, persons, k=k, clip_length=T, rows=local_rows)
                )
            rendered = rendered[0] if len(rendered) == 1 else jnp.concatenate(rendered)
            rendered = self._augmented(rendered, epoch, position, rows)
            return {"clips": rendered, "labels": labels[rows].astype(np.int32)}

        batches = itertools.starmap(render, self.train_clips(first_step))
        # Rendering of the next batch starts before this one is trained on.
        for batch, _ in itertools.pairwise(batches):
            yield parallel.shard(batch, mesh)

    def _augmented(
        self, frames: Array, epoch: int, position: int, rows: np.ndarray
    ) -> Array:
        """Changes colours and erases boxes in `rows` of a batch, as configured."""
        num_clips, T = self._p * self._k, self._clip_length

        def random_stream(number: int) -> np.random.Generator:
            return np.random.default_rng([self._seed, epoch, position, number])

        if self._jitter.is_on:
            changes = self._jitter.draw(random_stream(_COLORS), num_clips, T)
            changes = jax.tree.map(lambda values: values[rows], changes)
            frames = _change_colors(frames, changes)
        if self._augmentation.erase:
            boxes = self._augmentation.draw_erased(random_stream(_BOXES), num_clips, T)
            frames = resizing.erase(frames, boxes[rows], self._color)
        return frames

    def eval_batches(
        self,
        split: str,
        mesh: Mesh | None = None,
        *,
        clip_length: int | None = None,
        max_frames: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """See `Source.eval_batches`; each process renders all rows."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        rendered_split, T = self._splits[split], clip_length or self._clip_length
        limit = max_frames or self._max_frames
        all_clips = (
            (frames[clip], tracklet)
            for tracklet, (_, frames) in enumerate(
                rendered_split.world.render(rendered_split.entries, limit)
            )
            for clip in clips.dense_clips(len(frames), T)
        )
        batches = self._batched(all_clips, mesh, share)
        yield from noise.noisy(batches, split, self._noise, self._seed, share)

    def _batched(self, all_clips: Iterator[tuple[np.ndarray, int]], mesh: Mesh, share):
        B = self._batch_clips
        parallel.check_divisible(B, mesh, "config.eval.batch_clips")
        rows = parallel.local_rows(B, mesh)
        all_batches = iter(lambda: list(itertools.islice(all_clips, B)), [])
        for batch in itertools.islice(all_batches, share[0], None, share[1]):
            padding = [(batch[-1][0], -1)] * (B - len(batch))
            frames, tracklet = zip(*batch, *padding, strict=True)
            yield {
                "clips": parallel.shard(np.stack([frames[row] for row in rows]), mesh),
                "tracklet": np.asarray(tracklet, np.int32),
            }

    def first_middle_last(self, split: str, tracklet: int) -> list[np.ndarray]:
        """See `Source.first_middle_last`."""
        rendered_split = self._splits[split]
        entry = rendered_split.entries[tracklet]
        last = entry.num_frames - 1
        return [
            rendered_split.world.frame(entry, t) for t in sorted({0, last // 2, last})
        ]


def _sizes_of(name: str, frame_size: tuple[int, int]) -> Sizes:
    """Sizes of the world "walkers/…", with frames of that (height, width).

    Raises:
        UserError: there is no such world.
    """
    folder, _, world_name = name.partition("/")
    if folder != "walkers" or world_name not in SIZES:
        names = ", ".join(f"walkers/{name}" for name in SIZES)
        raise UserError(
            f"{name!r} cannot be rendered; config.data.source='render' knows {names}."
        )
    height, width = frame_size
    sizes = SIZES[world_name]
    return dataclasses.replace(sizes, frame_height=height, frame_width=width)


def _training(sizes: Sizes, num_persons: int | None) -> Split:
    """Training tracklets of persons that are not in the world's files.

    `num_persons` is by default the number of training persons in the files.
    """
    first = stream.first_person(sizes.twins)
    pids = range(first, first + (num_persons or sizes.num_train))
    return Split(
        sizes, [entry for pid in pids for entry in plan.tracklets_of(pid, sizes)]
    )


def _split_evenly(num: int, shares: np.ndarray) -> list[int]:
    """Splits `num` into whole numbers of at least 1, nearly in proportion to shares."""
    exact = shares / shares.sum() * num
    counts = np.ones(len(shares), int)
    while counts.sum() < num:
        counts[np.argmax(exact - counts)] += 1
    return counts.tolist()


_NEXT_SEED = 1 << 32
"""Distance between the seeds of a mixture's worlds, so that their draws differ."""

_build_world = functools.lru_cache(8)(World)
_change_colors = jax.jit(colors.change)
_COLORS, _BOXES = 3, 4
"""Numbers that keep these random streams apart from `clips.identity_batches`."""
