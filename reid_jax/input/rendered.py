"""Batches of rendered clips, without files and without TensorFlow (see `sources`).

`config.data.name` is a world, `walkers/street`. Queries and gallery are the tracklets
of its files, rendered again for each evaluation; training clips are of other persons,
each clip from a tracklet of its own.
"""

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
from reid_jax.errors import UserError


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


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The splits of a world; those of `train` are for metrics that are learnt."""

    train: Split
    query: Split
    gallery: Split
    protocols: tuple[str, ...] = ("standard",)

    @property
    def fingerprint(self) -> str:
        return f"{self.query.fingerprint} {self.gallery.fingerprint}"


def load_dataset(config) -> Dataset:
    """The world that `config.data` names, at `config.model.frame_size`."""
    folder, _, name = config.data.name.partition("/")
    if folder != "walkers" or name not in SIZES:
        known = ", ".join(f"walkers/{name}" for name in SIZES)
        raise UserError(
            f"config.data.name={config.data.name!r} cannot be rendered; "
            f"config.data.source='render' knows {known}."
        )
    height, width = config.model.frame_size
    sizes = dataclasses.replace(SIZES[name], frame_height=height, frame_width=width)
    rendered, entries = World(sizes), plan.plan(sizes)
    num_persons = config.data.num_persons or sizes.num_train
    first = stream.first_person(sizes.twins)
    pids = range(first, first + num_persons)
    train = [entry for pid in pids for entry in plan.tracklets_of(pid, sizes)]
    tested = ([e for e in entries if e.split == s] for s in ("query", "gallery"))
    return Dataset(
        Split(rendered, train),
        *(Split(rendered, some) for some in tested),
    )


def load_training_split(config, dataset: Dataset) -> Split:
    """What the run is trained on; rendered worlds are not mixed."""
    if config.data.mixture:
        raise UserError(
            "config.data.mixture is of prepared datasets: config.data.source='render' "
            "has one world."
        )
    return dataset.train


def training_pids(split: Split) -> np.ndarray:
    """The person ids of a training split, sorted: label n is `training_pids[n]`."""
    return np.unique(split.pids)


def steps_per_epoch(split: Split, config) -> int:
    """Batches in which every training identity occurs once (the last one filled)."""
    return -(-len(training_pids(split)) // config.data.p)


def train_clips(
    split: Split, config, first_step: int = 0
) -> Iterator[tuple[np.ndarray, jax.Array]]:
    """(labels [P*K], key of all that is drawn) of each batch from `first_step` on."""
    labels = np.arange(len(training_pids(split)))
    first_epoch, first_position = divmod(first_step, steps_per_epoch(split, config))
    for epoch in itertools.count(first_epoch):
        # One item for each person: the sampler repeats it K times.
        batches = clips.identity_batches(
            labels, config.data.p, config.data.k, seed=config.seed, epoch=epoch
        )
        for position in range(first_position, len(batches)):
            key = plan.key(config.seed, plan.BATCH, epoch, position)
            yield batches[position], key
        first_position = 0


def train_batches(
    split: Split,
    config,
    *,
    first_step: int = 0,
    mesh: Mesh | None = None,
) -> Iterator[dict[str, jax.Array]]:
    """Endless P×K batches from `first_step` on, the same whatever was drawn before.

    Yields `clips` uint8 [P*K, T, H, W, 3] and `labels` int32 [P*K], each device of the
    mesh (by itself those of this process) with its rows: nothing else is rendered.
    """
    mesh = parallel.local_mesh() if mesh is None else mesh
    rows = parallel.local_rows(config.data.p * config.data.k, mesh)
    street, pids = stream.Street(split.world.sizes), training_pids(split)
    k, T = config.data.k, config.model.clip_length
    batches = (
        {
            "clips": street.clips(
                key, pids[labels[::k]], k=k, clip_length=T, rows=rows
            ),
            "labels": labels[rows].astype(np.int32),
        }
        for labels, key in train_clips(split, config, first_step)
    )
    # The device is given the next batch before this one is trained on.
    for batch, _ in itertools.pairwise(batches):
        yield parallel.shard(batch, mesh)


def eval_batches(
    split: Split, config, mesh: Mesh | None = None
) -> Iterator[dict[str, jax.Array | np.ndarray]]:
    """Every test clip of the split once, in order, in batches of one fixed shape.

    Of tracklets longer than `config.eval.max_frames` only the first frames.

    Yields `clips` uint8 [B, T, H, W, 3], each device of the mesh (by itself those of
    this process) with its rows (but all are rendered), and `tracklet` int32 [B], of all
    rows the position of the clip's tracklet in the split, -1 where the last batch is
    padded.
    """
    mesh = parallel.local_mesh() if mesh is None else mesh
    rows = parallel.local_rows(config.eval.batch_clips, mesh)
    T, limit = config.model.clip_length, config.eval.max_frames or np.inf
    limit = int(min(limit, split.num_frames.max()))
    every = (
        (frames[clip], tracklet)
        for tracklet, (_, frames) in enumerate(split.world.render(split.entries, limit))
        for clip in clips.dense_clips(len(frames), T)
    )
    while batch := list(itertools.islice(every, config.eval.batch_clips)):
        padding = [(batch[-1][0], -1)] * (config.eval.batch_clips - len(batch))
        pixels, tracklet = zip(*batch, *padding, strict=True)
        yield {
            "clips": parallel.shard(np.stack([pixels[row] for row in rows]), mesh),
            "tracklet": np.asarray(tracklet, np.int32),
        }


def first_middle_last(split: Split, tracklet: int) -> list[np.ndarray]:
    """Three frames of a tracklet (fewer where it has fewer), RGB uint8."""
    entry = split.entries[tracklet]
    last = entry.num_frames - 1
    return [split.world.frame(entry, t) for t in sorted({0, last // 2, last})]
