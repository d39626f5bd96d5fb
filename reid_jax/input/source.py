"""Opens the dataset that a run's batches come from: `open_source(config)`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from reid_jax.cli import ending
from reid_jax.errors import UserError

SOURCES = ("files", "render")
"""Values of `config.data.source`."""


@runtime_checkable
class Split(Protocol):
    """The tracklets of one split, without frames; arrays have an entry per tracklet."""

    names: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    num_frames: np.ndarray
    fingerprint: str  # changes when the tracklets or their frames do

    def __len__(self) -> int: ...


@runtime_checkable
class Source(Protocol):
    """A dataset as the config describes it: its splits, and batches of its clips.

    Batches are sharded over `mesh` (default: this process's devices). A process makes
    only the rows of its devices.
    """

    name: str  # config.data.name
    protocols: tuple[str, ...]  # evaluation protocols that are always scored
    more_protocols: tuple[str, ...]  # those that are scored when the config names them
    clean_labels: Mapping[str, Sequence[int]] | None  # for "clean": see input.datasets
    fingerprint: str  # changes when query or gallery, or their frames, change
    training: Split  # the train split, or those of a mixture joined
    pids: np.ndarray  # person id of each label, sorted
    steps_per_epoch: int  # batches in which every training identity occurs once

    def split(self, name: str) -> Split:
        """The split `name`: "train", "query" or "gallery"."""

    def train_batches(
        self, first_step: int = 0, mesh: Mesh | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """Yields P×K batches without end, from step `first_step` on.

        Each batch depends only on the seed and its step. It has `clips` uint8
        [P*K, T, H, W, 3] and `labels` int32 [P*K].

        Raises:
            UserError: there are fewer than P persons.
        """

    def eval_batches(
        self,
        split: str,
        mesh: Mesh | None = None,
        *,
        clip_length: int | None = None,
        max_frames: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[dict[str, jax.Array | np.ndarray]]:
        """Yields every test clip of a split once, in order, in batches of fixed shape.

        Only the first `max_frames` frames of longer tracklets are taken. This, the
        clip's length and the noise on it are by default those of the config. With the
        `share` (i, n) only the batches i, i+n, i+2n, … are made: together n processes
        make them all.
        Yields `clips` uint8 [B, T, H, W, 3], and `tracklet` int32 [B] for all rows: the
        position of the clip's tracklet in the split, -1 where the last batch is padded.
        """

    def first_middle_last(self, split: str, tracklet: int) -> list[np.ndarray]:
        """First, middle and last frame of a tracklet, RGB uint8 [h, w, 3].

        Fewer for a tracklet of fewer than three frames.
        """


def open_source(config) -> Source:
    """Opens the source that `config.data` describes.

    TensorFlow is imported only with `config.data.source="files"`, by the first batch.

    Raises:
        UserError: `config.data.source` is unknown.
    """
    match config.data.source:
        case "files":
            ending.quieten_tensorflow()  # before its first import
            from reid_jax.input import files

            return files.FilesSource(config)
        case "render":
            from reid_jax.input import rendered

            return rendered.RenderedSource(config)
    names = ", ".join(SOURCES)
    raise UserError(f"config.data.source={config.data.source!r}; known: {names}.")
