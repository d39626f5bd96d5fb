"""Renders batches of clips from one or more worlds, without files or TensorFlow."""

import functools
import itertools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from data.walkers import plan, stream
from reid_jax import clips, parallel
from reid_jax.arrays import Array
from reid_jax.errors import UserError
from reid_jax.input import (
    augmentation,
    colors,
    jitter,
    noise,
    pixels,
    rendered_splits,
    resizing,
)
from reid_jax.input.rendered_splits import JoinedSplit, Split


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
        sizes = rendered_splits.sizes_of(data.name, frame_size)
        entries = plan.plan(sizes)
        self._splits = {"train": rendered_splits.training(sizes, data.num_persons)}
        for name in ("query", "gallery"):
            split_entries = [entry for entry in entries if entry.split == name]
            self._splits[name] = Split(sizes, split_entries)
        self._training_splits = {data.name: self._splits["train"]}
        if data.mixture:
            self._training_splits = {
                name: rendered_splits.training(
                    rendered_splits.sizes_of(name, frame_size), data.num_persons
                )
                for name in data.mixture
            }
        self._shares = data.mixture_weights

    @property
    def fingerprint(self) -> str:
        """Hash of the tracklets of query and gallery."""
        parts = (self._splits[name].fingerprint for name in ("query", "gallery"))
        return " ".join(parts)

    @functools.cached_property
    def training(self) -> Split | JoinedSplit:
        """Tracklets of the training persons, on which a metric is learnt."""
        return rendered_splits.join(self._training_splits)

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
        return [np.unique(part.pids) for part in self._training_splits.values()]

    @functools.cached_property
    def _persons_of_batch(self) -> list[int]:
        """Number of a batch's P persons that come from each world.

        It is the same in every batch, so that the rendering is compiled once per world.
        """
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
        streets = [stream.Street(part.world) for part in self._training_splits.values()]
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


def _split_evenly(num: int, shares: np.ndarray) -> list[int]:
    """Splits `num` into whole numbers of at least 1, nearly in proportion to shares."""
    exact = shares / shares.sum() * num
    counts = np.ones(len(shares), int)
    while counts.sum() < num:
        counts[np.argmax(exact - counts)] += 1
    return counts.tolist()


_NEXT_SEED = 1 << 32
"""Distance between the seeds of a mixture's worlds, so that their draws differ."""

_change_colors = jax.jit(colors.change)
_COLORS, _BOXES = 3, 4
"""Numbers that keep these random streams apart from `clips.identity_batches`."""
