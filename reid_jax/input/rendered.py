"""Batches of rendered clips, without files and without TensorFlow."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterator

import jax
import numpy as np
from jax.sharding import Mesh

from data.walkers import plan, stream, world
from data.walkers.plan import Entry
from data.walkers.sizes import SIZES
from data.walkers.world import World
from reid_jax import clips, parallel
from reid_jax.arrays import Array
from reid_jax.errors import UserError
from reid_jax.input import augmentation, colors, jitter, noise, pixels, resizing


@dataclasses.dataclass(frozen=True)
class Split:
    """Tracklets of a world, without their frames."""

    world: World
    entries: list[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Of what is rendered: the tracklets, the world and its version."""
        text = f"{world.VERSION} {self.world.sizes} {self.entries}"
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


class RenderedSource:
    """A world of walkers, rendered at `config.model.frame_size`; see `source.Source`.

    Queries and gallery are the tracklets of its files, rendered again for each
    evaluation. Training clips are of other persons, each clip from a tracklet of its
    own.
    """

    protocols: tuple[str, ...] = ("standard",)
    more_protocols: tuple[str, ...] = ()
    clean_labels = None

    def __init__(self, config):
        folder, _, world_name = config.data.name.partition("/")
        if folder != "walkers" or world_name not in SIZES:
            known = ", ".join(f"walkers/{name}" for name in SIZES)
            raise UserError(
                f"config.data.name={config.data.name!r} cannot be rendered; "
                f"config.data.source='render' knows {known}."
            )
        if config.data.mixture:
            raise UserError(
                "config.data.mixture is of prepared datasets: "
                "config.data.source='render' has one world."
            )
        self.name = config.data.name
        self._seed, self._p, self._k = config.seed, config.data.p, config.data.k
        self._clip_length = config.model.clip_length
        self._batch_clips = config.eval.batch_clips
        self._max_frames, self._noise = config.eval.max_frames, config.eval.noise
        self._augmentation = augmentation.build_augmentation(config)
        self._jitter = jitter.build_jitter(config)
        self._color = pixels.mean_color(config.data.normalization)
        height, width = config.model.frame_size
        sizes = SIZES[world_name]
        sizes = dataclasses.replace(sizes, frame_height=height, frame_width=width)
        rendered, entries = World(sizes), plan.plan(sizes)
        first = stream.first_person(sizes.twins)
        pids = range(first, first + (config.data.num_persons or sizes.num_train))
        train = [entry for pid in pids for entry in plan.tracklets_of(pid, sizes)]
        self._splits = {"train": Split(rendered, train)}
        for name in ("query", "gallery"):
            tested = [entry for entry in entries if entry.split == name]
            self._splits[name] = Split(rendered, tested)

    @property
    def fingerprint(self) -> str:
        """Of query and gallery."""
        parts = (self._splits[name].fingerprint for name in ("query", "gallery"))
        return " ".join(parts)

    @property
    def training(self) -> Split:
        """The persons to train on; a metric is learnt on these tracklets of theirs."""
        return self._splits["train"]

    @functools.cached_property
    def pids(self) -> np.ndarray:
        """The person of each label."""
        return np.unique(self.training.pids)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every training identity occurs once."""
        return clips.batches_per_epoch(self.pids, self._p)

    def split(self, name: str) -> Split:
        """One of "train", "query" and "gallery"."""
        return self._splits[name]

    def train_clips(self, first_step: int = 0) -> Iterator[tuple[np.ndarray, int, int]]:
        """(labels [P*K], epoch, position in it) of each batch from a step on."""
        # One item for each person: the sampler repeats it K times.
        labels = np.arange(len(self.pids))
        for epoch, position, chosen in clips.batches_from(
            first_step, labels, self._p, self._k, seed=self._seed
        ):
            yield chosen, epoch, position

    def train_batches(
        self, first_step: int = 0, mesh: Mesh | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """See `Source.train_batches`."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        k, T = self._k, self._clip_length
        rows = parallel.local_rows(self._p * k, mesh)
        street = stream.Street(self.training.world.sizes)

        def render(labels: np.ndarray, epoch: int, position: int) -> dict:
            persons = self.pids[labels[::k]]
            key = plan.key(self._seed, plan.BATCH, epoch, position)
            shown = street.clips(key, persons, k=k, clip_length=T, rows=rows)
            shown = self._augmented(shown, epoch, position, rows)
            return {"clips": shown, "labels": labels[rows].astype(np.int32)}

        batches = itertools.starmap(render, self.train_clips(first_step))
        # The device is given the next batch before this one is trained on.
        for batch, _ in itertools.pairwise(batches):
            yield parallel.shard(batch, mesh)

    def _augmented(
        self, shown: Array, epoch: int, position: int, rows: np.ndarray
    ) -> Array:
        """Rows of a batch, with changed colours and erased boxes where wanted."""
        num_clips, T = self._p * self._k, self._clip_length

        def stream(which: int) -> np.random.Generator:
            return np.random.default_rng([self._seed, epoch, position, which])

        if self._jitter.is_on:
            drawn = self._jitter.draw(stream(_COLORS), num_clips, T)
            drawn = jax.tree.map(lambda values: values[rows], drawn)
            shown = _change_colors(shown, drawn)
        if self._augmentation.erase:
            boxes = self._augmentation.draw_erased(stream(_BOXES), num_clips, T)
            shown = resizing.erase(shown, boxes[rows], self._color)
        return shown

    def eval_batches(
        self,
        split: str,
        mesh: Mesh | None = None,
        *,
        clip_length: int | None = None,
        max_frames: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """See `Source.eval_batches`; each process renders the rows of all."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        of, T = self._splits[split], clip_length or self._clip_length
        limit = max_frames or self._max_frames
        every = (
            (frames[clip], tracklet)
            for tracklet, (_, frames) in enumerate(of.world.render(of.entries, limit))
            for clip in clips.dense_clips(len(frames), T)
        )
        batches = self._batched(every, mesh, share)
        yield from noise.noisy(batches, split, self._noise, self._seed, share)

    def _batched(self, every: Iterator[tuple[np.ndarray, int]], mesh: Mesh, share):
        B = self._batch_clips
        parallel.check_divisible(B, mesh, "config.eval.batch_clips")
        rows = parallel.local_rows(B, mesh)
        every_batch = iter(lambda: list(itertools.islice(every, B)), [])
        for batch in itertools.islice(every_batch, share[0], None, share[1]):
            padding = [(batch[-1][0], -1)] * (B - len(batch))
            frames, tracklet = zip(*batch, *padding, strict=True)
            yield {
                "clips": parallel.shard(np.stack([frames[row] for row in rows]), mesh),
                "tracklet": np.asarray(tracklet, np.int32),
            }

    def first_middle_last(self, split: str, tracklet: int) -> list[np.ndarray]:
        """See `Source.first_middle_last`."""
        of = self._splits[split]
        entry = of.entries[tracklet]
        last = entry.num_frames - 1
        return [of.world.frame(entry, t) for t in sorted({0, last // 2, last})]


_change_colors = jax.jit(colors.change)
_COLORS, _BOXES = 3, 4
"""Keep these random streams apart from each other and from `clips.identity_batches`."""
