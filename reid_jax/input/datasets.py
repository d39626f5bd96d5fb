"""Prepared datasets: their splits, alone or several together for training."""

import contextlib
import dataclasses
import pathlib

import numpy as np
from jaxtyping import Float

from data import prepare, tracklets
from reid_jax.input import frame_cache
from reid_jax.input.frame_cache import CachedSplit, Split

SPLITS = ("train", "query", "gallery")


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A prepared dataset: its splits and the evaluation protocols it is scored by."""

    train: CachedSplit
    query: CachedSplit
    gallery: CachedSplit
    protocols: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Of the tracklets of query and gallery, and of their frames."""
        return f"{self.query.fingerprint} {self.gallery.fingerprint}"


def load_dataset(config) -> Dataset:
    """The dataset that `config.data` names; a rendered one is rendered at first use.

    Several programs may start on it together: one renders and fills the frame cache,
    the others wait for it.

    Raises `prepare.DatasetError`, with the way to get it, for one not prepared.
    """
    name, data_dir = config.data.name, config.data.data_dir
    builder = prepare.prepared(name, data_dir)
    folder = pathlib.Path(builder.data_dir) / "frame_cache"
    with contextlib.ExitStack() as stack:
        if not all(frame_cache.is_there(folder, split) for split in SPLITS):
            stack.enter_context(prepare.locked(builder))
            builder = prepare.find_builder(name, data_dir)  # as it is by now
        splits = {
            split: frame_cache.open_split(
                folder,
                split,
                lambda s=split: builder.as_data_source(s),
                in_memory=config.data.cache == "ram",
            )
            for split in SPLITS
        }
    return Dataset(**splits, protocols=builder.PROTOCOLS)


def load_training_split(config, dataset: Dataset) -> Split:
    """What the run is trained on: `dataset`'s own, or all those of the mixture.

    The persons of a mixture get one label space; its datasets are counted in print.
    """
    names = config.data.mixture
    if not names:
        return dataset.train
    for name in names:  # before the first of them is rendered
        prepare.check_prepared(name, config.data.data_dir)
    parts = {}
    for name in names:
        part = config.copy_and_resolve_references()
        part.data.name = name
        parts[name] = load_dataset(part).train
        num_persons = len(training_pids(parts[name]))
        print(
            f"training on {name}: {num_persons:,} persons, {len(parts[name]):,} "
            f"tracklets, {len(np.unique(parts[name].camids))} cameras"
        )
    return frame_cache.join(parts)


def identity_weights(split: Split, config) -> Float[np.ndarray, "N"] | None:
    """Of each tracklet's identity, so that the mixture's datasets have their shares.

    `split` is that of `load_training_split`; None where every identity counts alike.
    """
    if not config.data.mixture_weights:
        return None
    weights = [
        np.full(len(part), weight / len(training_pids(part)))
        for part, weight in zip(split.parts, config.data.mixture_weights, strict=True)
    ]
    return np.concatenate(weights)


def training_pids(split: Split) -> np.ndarray:
    """The person ids of a training split, sorted: label n is `training_pids[n]`."""
    return np.unique(split.pids[split.pids != tracklets.JUNK_PID])
