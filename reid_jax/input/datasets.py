"""Prepared datasets: their splits, alone or several together for training."""

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
    """A prepared dataset: its splits and the evaluation protocols it is scored by.

    `more_protocols` are scored where the config names them.
    `train` is empty where a dataset is there to be scored only.
    """

    train: Split
    query: Split
    gallery: Split
    protocols: tuple[str, ...]
    more_protocols: tuple[str, ...] = ()
    clean_labels: Mapping[str, Sequence[int]] | None = (
        None  # data.tracklets.CLEAN_LABELS
    )

    @property
    def fingerprint(self) -> str:
        """Of the tracklets of query and gallery, and of their frames."""
        return f"{self.query.fingerprint} {self.gallery.fingerprint}"


def load_dataset(name: str, data_dir: str) -> Dataset:
    """The prepared dataset `name` in `data_dir`; a rendered one is made at first use.

    Several programs may start on it together: one renders and fills the frame cache,
    the others wait for it.

    Raises `prepare.DatasetError`, with the way to get it, for one not prepared.
    """
    builder = prepare.prepared(name, data_dir)
    folder = pathlib.Path(builder.data_dir) / "frame_cache"
    with contextlib.ExitStack() as stack:
        if not all(frame_cache.is_there(folder, split) for split in SPLITS):
            stack.enter_context(prepare.locked(builder))
            builder = prepare.find_builder(name, data_dir)  # as it is by now

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
    """The training splits of several datasets as one, with one space of labels.

    What each of them holds is printed.
    """
    for name in names:  # before the first of them is rendered
        prepare.check_prepared(name, data_dir)
    parts = {}
    for name in names:
        parts[name] = load_dataset(name, data_dir).train
        num_persons = len(training_pids(parts[name]))
        print(
            f"training on {name}: {num_persons:,} persons, {len(parts[name]):,} "
            f"tracklets, {len(np.unique(parts[name].camids))} cameras"
        )
    return frame_cache.join(parts)


def identity_weights(
    split: JoinedSplit, shares: Sequence[float]
) -> Float[np.ndarray, "N"]:
    """A weight for each tracklet's identity, so that the parts have their `shares`."""
    weights = [
        np.full(len(part), share / len(training_pids(part)))
        for part, share in zip(split.parts, shares, strict=True)
    ]
    return np.concatenate(weights)


def training_pids(split: Split) -> np.ndarray:
    """The person ids of a training split, sorted: label n is `training_pids[n]`."""
    return np.unique(split.pids[split.pids != tracklets.JUNK_PID])
