"""Where a run's batches come from: `open_source(config)`, made once and handed on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from reid_jax.cli import ending
from reid_jax.errors import UserError

SOURCES = ("files", "render")
"""What `config.data.source` may name."""


@runtime_checkable
class Split(Protocol):
    """The tracklets of one split, without their frames; arrays have one entry each."""

    names: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    num_frames: np.ndarray
    fingerprint: str  # changes when the tracklets or their frames do

    def __len__(self) -> int: ...


@runtime_checkable
class Source(Protocol):
    """A dataset as the config shows it: splits, and batches of clips on the devices.

    Batches are laid out over a mesh, by default the devices of this process. A process
    makes the rows of its own devices only.
    """

    name: str  # config.data.name
    protocols: tuple[str, ...]  # of evaluation
    more_protocols: tuple[str, ...]  # scored where the config names them
    clean_labels: Mapping[str, Sequence[int]] | None  # of "clean": see input.datasets
    fingerprint: str  # of query and gallery
    training: Split  # what is trained on: the train split, or several datasets
    pids: np.ndarray  # person of each label, sorted
    steps_per_epoch: int

    def split(self, name: str) -> Split:
        """One of "train", "query" and "gallery"."""

    def train_batches(
        self, first_step: int = 0, mesh: Mesh | None = None
    ) -> Iterator[dict[str, jax.Array]]:
        """Endless P×K batches from a step on, each a function of (seed, step) alone.

        Yields `clips` uint8 [P*K, T, H, W, 3] and `labels` int32 [P*K].
        Raises UserError where there are fewer than P persons.
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
        """Every test clip of a split once, in order, in batches of one fixed shape.

        Only the first `max_frames` frames of longer tracklets are taken. This, the
        clip's length and the noise on it are by default those of the config. With the
        `share` (i, n) only the batches i, i+n, i+2n, … are made: together n processes
        make them all.
        Yields `clips` uint8 [B, T, H, W, 3], and `tracklet` int32 [B] for all rows: the
        position of the clip's tracklet in the split, -1 where the last batch is padded.
        """

    def first_middle_last(self, split: str, tracklet: int) -> list[np.ndarray]:
        """One to three frames of a tracklet, RGB uint8 [h, w, 3]."""


def open_source(config) -> Source:
    """The source that `config.data` describes; only files import TensorFlow."""
    match config.data.source:
        case "files":
            ending.quieten_tensorflow()  # before its first import
            from reid_jax.input import files

            return files.FilesSource(config)
        case "render":
            from reid_jax.input import rendered

            return rendered.RenderedSource(config)
    known = ", ".join(SOURCES)
    raise UserError(f"config.data.source={config.data.source!r}; known: {known}.")
