"""Loads prepared datasets: the splits of one, or the training splits of several."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from data import prepare, tracklets
from reid_jax.input import frame_cache
from reid_jax.input.frame_cache import JoinedSplit, Split

SPLITS = ("train", "query", "gallery")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset: its splits and its evaluation protocols.

    `protocols` are always scored, `more_protocols` only when the config names them.
    `train` is empty for a dataset that is only for evaluation. `clean_labels` are
    needed by the protocol "clean".
    """

    train: Split
    query: Split
    gallery: Split
    protocols: tuple[str, ...]
    more_protocols: tuple[str, ...] = ()
    # Content of the file data.tracklets.CLEAN_LABELS.
    clean_labels: Mapping[str, Sequence[int]] | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the tracklets of query and gallery, and of their frames."""
        return f"{self.query.fingerprint} {self.gallery.fingerprint}"


def load_dataset(name: str, data_dir: str) -> Dataset:
    """Loads the dataset `name` from `data_dir`; renders a rendered one at first use.

    Several programs may load it at the same time: one renders it and fills the frame
    cache, the others wait.

    Raises:
        prepare.DatasetError: the dataset is not prepared; the message says how to get
            it.
    """
    builder = prepare.prepared(name, data_dir)
    folder = pathlib.Path(builder.data_dir) / "frame_cache"
    with contextlib.ExitStack() as stack:
        if not all(frame_cache.is_there(folder, split) for split in SPLITS):
            stack.enter_context(prepare.locked(builder))
            builder = prepare.find_builder(name, data_dir)  # another may have built it

        def examples(split: str):
            return builder.as_data_source(split) if split in builder.info.splits else ()

        splits = {
            split: frame_cache.open_split(folder, split, lambda s=split: examples(s))
            for split in SPLITS
        }
    path, clean_labels = pathlib.Path(builder.data_dir) / tracklets.CLEAN_LABELS, None
    if path.exists():
        clean_labels = json.loads(path.read_text(encoding="utf-8"))
    return Dataset(
        **splits,
        protocols=builder.PROTOCOLS,
        more_protocols=builder.MORE_PROTOCOLS + ("clean",) * (clean_labels is not None),
        clean_labels=clean_labels,
    )


def load_mixture(names: Sequence[str], data_dir: str) -> JoinedSplit:
    """Joins the training splits of several datasets; prints the size of each.

    Persons of different datasets get different labels.
    """
    for name in names:  # checked before the first dataset is rendered
        prepare.check_prepared(name, data_dir)
    splits = {}
    for name in names:
        splits[name] = load_dataset(name, data_dir).train
        num_persons = len(training_pids(splits[name]))
        print(
            f"training on {name}: {num_persons:,} persons, {len(splits[name]):,} "
            f"tracklets, {len(np.unique(splits[name].camids))} cameras"
        )
    return frame_cache.join(splits)


def identity_weights(
    split: JoinedSplit, shares: Sequence[float]
) -> Float[np.ndarray, "N"]:
    """Weight of each tracklet's identity, so that the datasets get their `shares`."""
    weights = [
        np.full(len(part), share / len(training_pids(part)))
        for part, share in zip(split.parts, shares, strict=True)
    ]
    return np.concatenate(weights)


def training_pids(split: Split) -> np.ndarray:
    """Sorted person ids of a training split: label n is the n-th of them."""
    return np.unique(split.pids[split.pids != tracklets.JUNK_PID])
