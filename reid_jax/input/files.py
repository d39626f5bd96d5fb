"""Makes batches of clips from prepared datasets.

The frames of a batch and their augmentation are drawn with NumPy; they depend only on
(seed, epoch, position). tf.data decodes in parallel. The devices resize, crop and flip.
"""

import functools
import io
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Int, UInt8
from PIL import Image

from data import tracklets
from reid_jax import clips, parallel
from reid_jax.input import (
    augmentation,
    datasets,
    jitter,
    noise,
    pixels,
    resizing,
)
from reid_jax.input.augmentation import Windows
from reid_jax.input.datasets import Dataset
from reid_jax.input.frame_cache import Split


class ClipBatch(NamedTuple):
    """The clips of a batch before they are decoded."""

    frame_ids: Int[np.ndarray, "B T"]  # positions among all frames of the split
    windows: Windows  # crop, flip and colours of each frame
    labels: Int[np.ndarray, "B"]  # training label; in evaluation: tracklet, -1: padding


class FilesSource:
    """A prepared dataset, or a mixture for training; see `source.Source`."""

    def __init__(self, config, dataset: Dataset | None = None):
        data = config.data
        self.name, self._data_dir = data.name, data.data_dir
        self._mixture = data.mixture
        self._dataset = dataset or datasets.load_dataset(data.name, data.data_dir)
        self.protocols = self._dataset.protocols
        self.more_protocols = self._dataset.more_protocols
        self.clean_labels = self._dataset.clean_labels
        self.fingerprint = self._dataset.fingerprint
        self._seed, self._p, self._k = config.seed, data.p, data.k
        self._shares, self._cache = data.mixture_weights, data.cache
        self._sample = clips.SAMPLINGS[data.sampling]
        self._clip_length = config.model.clip_length
        self._batch_clips = config.eval.batch_clips
        self._max_frames, self._noise = config.eval.max_frames, config.eval.noise
        self._augmentation = augmentation.build_augmentation(config)
        self._jitter = jitter.build_jitter(config)
        self._largest = resizing.largest_size(self._augmentation.cropped_size)
        self._resize = functools.partial(
            resizing.resize_crop_flip,
            frame_size=self._augmentation.frame_size,
            color=pixels.mean_color(data.normalization),
        )

    @functools.cached_property
    def training(self) -> Split:
        """The training split of the dataset, or of all datasets of the mixture."""
        if not self._mixture:
            return self._dataset.train
        return datasets.load_mixture(self._mixture, self._data_dir)

    @functools.cached_property
    def pids(self) -> np.ndarray:
        """Person id of each label."""
        return datasets.training_pids(self.training)

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in which each training identity occurs once, or 0."""
        return clips.batches_per_epoch(self.pids, self._p) if len(self.pids) else 0

    def split(self, name: str) -> Split:
        """Returns the split `name`: "train", "query" or "gallery"."""
        return getattr(self._dataset, name)

    def train_batches(
        self, first_step: int = 0, mesh: Mesh | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """See `Source.train_batches`."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        rows = parallel.local_rows(self._p * self._k, mesh)
        clip_batches = self.train_clips(first_step)
        load_frames = self._resident if self._cache == "device" else self._decoded
        for batch, frames in load_frames(self.training, clip_batches, rows, mesh):
            labels = parallel.shard(batch.labels[rows], mesh)
            yield {"clips": frames, "labels": labels}

    def train_clips(self, first_step: int = 0) -> Iterator[ClipBatch]:
        """Draws the P×K batches from `first_step` on, without decoding them."""
        split, T = self.training, self._clip_length
        trainable = np.flatnonzero(split.pids != tracklets.JUNK_PID)
        labels = np.searchsorted(self.pids, split.pids).astype(np.int32)
        weights = None
        if self._shares:
            weights = datasets.identity_weights(split, self._shares)[trainable]
        batches = clips.batches_from(
            first_step,
            labels[trainable],
            self._p,
            self._k,
            seed=self._seed,
            weights=weights,
        )
        num_uniform = self._augmentation.num_uniform(T)
        for epoch, position, chosen in batches:
            rng = np.random.default_rng([self._seed, epoch, position, _FRAMES])
            chosen = trainable[chosen]
            frames, uniforms = [], []
            for num_frames in split.num_frames[chosen]:
                frames.append(self._sample(rng, num_frames, T))
                uniforms.append(rng.random(num_uniform))
            windows = self._augmentation.draw(rng, np.array(uniforms), T)
            rng = np.random.default_rng([self._seed, epoch, position, _COLORS])
            color_changes = self._jitter.draw(rng, len(chosen), T)
            windows = windows._replace(colors=color_changes)
            frame_ids = split.first_frame[chosen][:, None] + np.array(frames)
            yield ClipBatch(frame_ids, windows, labels[chosen])

    def eval_batches(
        self,
        split: str,
        mesh: Mesh | None = None,
        *,
        clip_length: int | None = None,
        max_frames: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """See `Source.eval_batches`."""
        mesh = parallel.local_mesh() if mesh is None else mesh
        parallel.check_divisible(self._batch_clips, mesh, "config.eval.batch_clips")
        rows = parallel.local_rows(self._batch_clips, mesh)
        clip_batches = self._eval_clips(
            self.split(split),
            clip_length or self._clip_length,
            max_frames or self._max_frames,
        )
        clip_batches = itertools.islice(clip_batches, share[0], None, share[1])
        batches = (
            {"clips": frames, "tracklet": batch.labels}
            for batch, frames in self._decoded(
                self.split(split), clip_batches, rows, mesh
            )
        )
        yield from noise.noisy(batches, split, self._noise, self._seed, share)

    def _eval_clips(
        self, split: Split, T: int, max_frames: int | None
    ) -> Iterator[ClipBatch]:
        num_frames = split.num_frames
        if max_frames:
            num_frames = np.minimum(num_frames, max_frames)
        all_clips = (
            (split.first_frame[tracklet] + frames, tracklet)
            for tracklet in range(len(split))
            for frames in clips.dense_clips(num_frames[tracklet], T)
        )
        windows = self._augmentation.middle(self._batch_clips, T)
        while batch := list(itertools.islice(all_clips, self._batch_clips)):
            padding = [(batch[-1][0], -1)] * (self._batch_clips - len(batch))
            frame_ids, labels = zip(*batch, *padding, strict=True)
            yield ClipBatch(np.stack(frame_ids), windows, np.array(labels, np.int32))

    def _decoded(
        self, split: Split, batches: Iterator[ClipBatch], rows, mesh: Mesh
    ) -> Iterator[tuple[ClipBatch, jax.Array]]:
        """Yields (batch, clips uint8 [B, T, H, W, 3]), decoded on the host."""
        from reid_jax.input import decoding  # TensorFlow takes seconds to import

        sizes = np.minimum(split.sizes, self._largest)
        padded_size = _padded_size(sizes, mesh)

        def requests() -> Iterator[decoding.Request]:
            for batch in batches:
                ids = batch.frame_ids[rows].ravel()
                yield decoding.Request(ids, padded_size(ids), batch)

        for request, frames in decoding.decode(split, requests(), self._largest):
            batch = request.content
            ids = batch.frame_ids[rows]
            frames = frames.reshape(*ids.shape, *frames.shape[1:])
            windows = _rows_of(batch.windows, rows)
            taps = self._num_taps(
                request.size if _is_one_program(sizes, mesh) else sizes[ids]
            )
            arguments = parallel.shard((frames, sizes[ids], windows), mesh)
            yield batch, self._resize(*arguments, num_taps=taps)

    def _resident(
        self, split: Split, batches: Iterator[ClipBatch], rows, mesh: Mesh
    ) -> Iterator[tuple[ClipBatch, jax.Array]]:
        """Like `_decoded`, but gathers frames already resident on the devices."""
        from reid_jax.input.device_frames import DeviceFrames  # as above

        sizes = np.minimum(split.sizes, self._largest)
        resize = functools.partial(self._resize, num_taps=self._num_taps(sizes))
        frames = DeviceFrames(split, mesh, largest=self._largest, resize=resize)
        for batch in batches:
            windows = _rows_of(batch.windows, rows)
            ids = batch.frame_ids[rows].astype(np.int32)
            yield batch, frames.cut_windows(*parallel.shard((ids, windows), mesh))

    def _num_taps(self, sizes: Int[np.ndarray, "... 2"]) -> int:
        return resizing.num_taps(sizes, self._augmentation.whole_size)

    def first_middle_last(self, split: str, tracklet: int) -> list[np.ndarray]:
        """See `Source.first_middle_last`; the frames are not resized."""
        frames_split = self.split(split)
        last = int(frames_split.num_frames[tracklet]) - 1
        return [
            _rgb(Image.open(io.BytesIO(frames_split.frame(tracklet, t))))
            for t in sorted({0, last // 2, last})
        ]


_FRAMES, _COLORS = 2, 3
"""Numbers that keep these random streams apart from `clips.identity_batches`."""


def _rows_of(windows: Windows, rows: Int[np.ndarray, "_"]) -> Windows:
    return jax.tree.map(lambda values: values[rows], windows)


def _rgb(picture: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """Converts to RGB as TensorFlow does; Pillow would clip 16-bit values at 255.

    Pictures of 16 bits are refused now, but older prepared datasets may have some.
    """
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert("RGB"))


def _is_one_program(sizes: Int[np.ndarray, "N 2"], mesh: Mesh) -> bool:
    """Whether all batches are padded to one size, so that one program serves them.

    Several processes must run the same program.
    """
    return mesh.is_multi_process or bool((sizes == sizes[:1]).all())


def _padded_size(sizes: Int[np.ndarray, "N 2"], mesh: Mesh):
    """Returns a function: frame ids → height and width that they are padded to."""
    largest = sizes.max(axis=0, initial=0)
    if _is_one_program(sizes, mesh):
        return lambda ids: largest

    def padded(ids: Int[np.ndarray, "_"]) -> Int[np.ndarray, "2"]:
        height, width = sizes[ids].max(axis=0).tolist()
        return np.array([resizing.round_up(height), resizing.round_up(width)])

    return padded
