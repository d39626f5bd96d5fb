"""Prepared datasets: their splits, alone or several together for training."""

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from data import prepare, tracklets
from reid_jax.input import frame_cache
from reid_jax.input.frame_cache import JoinedSplit, Split


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset: its splits and the evaluation protocols it is scored by."""

    train: Split
    query: Split
    gallery: Split
    protocols: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Of the tracklets of query and gallery, and of their frames."""
        return f"{self.query.fingerprint} {self.gallery.fingerprint}"


def load_dataset(name: str, data_dir: str) -> Dataset:
    """The prepared dataset `name` in `data_dir`; a rendered one is made at first use.

    Raises `prepare.DatasetError`, with the way to get it, for one not prepared.
    """
    builder = _find_builder(name, data_dir)
    if not builder.is_prepared():
        print(f"Rendering {name} into {builder.data_dir} ...", flush=True)
        prepare.build(builder)
    folder = pathlib.Path(builder.data_dir) / "frame_cache"
    splits = {
        split: frame_cache.open_split(
            folder, split, lambda s=split: builder.as_data_source(s)
        )
        for split in ("train", "query", "gallery")
    }
    return Dataset(**splits, protocols=builder.PROTOCOLS)


def _find_builder(name: str, data_dir: str):
    builder = prepare.find_builder(name, data_dir)
    if not builder.is_prepared() and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise prepare.DatasetError(prepare.not_prepared_message(name, data_dir))
    return builder


def load_mixture(names: Sequence[str], data_dir: str) -> JoinedSplit:
    """The training splits of several datasets as one, with one space of labels.

    What each of them holds is printed.
    """
    for name in names:  # before the first of them is rendered
        _find_builder(name, data_dir)
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
