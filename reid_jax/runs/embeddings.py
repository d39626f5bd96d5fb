"""From clips to one embedding a tracklet: their mean (paper 1, Sec. 3.3)."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable

import numpy as np
from jaxtyping import Float, Int

from reid_jax.arrays import Array
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Embedded:
    """One side of the retrieval: an embedding for each tracklet, and whose it is."""

    embeddings: np.ndarray  # [N, D]
    pids: np.ndarray
    camids: np.ndarray
    tracklets: np.ndarray  # names


@dataclasses.dataclass(frozen=True)
class EmbeddedDataset:
    """Splits of a dataset by method ("trained", …), and what they were made from.

    Each method has the splits "query" and "gallery", and "train" where a metric was
    learnt on it.
    """

    methods: dict[str, dict[str, Embedded]]
    source: str  # checkpoint, network and dataset, as one comparable text
    protocols: tuple[str, ...]

    def save(self, path: pathlib.Path) -> None:
        """Write one .npz: `<method>.<split>.<field>`, whole or not at all."""
        arrays = {"source": self.source, "protocols": np.asarray(self.protocols)}
        for method, splits in self.methods.items():
            for side, embedded in splits.items():
                for field in dataclasses.fields(Embedded):
                    key = f"{method}.{side}.{field.name}"
                    arrays[key] = getattr(embedded, field.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name("unfinished.npz")
        try:
            np.savez(unfinished, **arrays)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: pathlib.Path) -> "EmbeddedDataset":
        # NumPy leaves a damaged file open that it has opened itself.
        with path.open("rb") as file, np.load(file) as arrays:
            methods = {}
            for key in dict.fromkeys(k.rpartition(".")[0] for k in arrays if "." in k):
                method, split = key.split(".")
                fields = (
                    arrays[f"{key}.{f.name}"] for f in dataclasses.fields(Embedded)
                )
                methods.setdefault(method, {})[split] = Embedded(*fields)
            protocols = tuple(map(str, arrays["protocols"]))
            return cls(methods, str(arrays["source"]), protocols)


def embed_tracklets(
    embed_clips: Callable[[Array], Float[Array, "B D"]],
    batches: Iterable[dict[str, Array]],
    num_tracklets: int,
) -> Float[np.ndarray, "N D"]:
    """Mean embedding of every tracklet's clips, float32.

    `batches` have `clips` uint8 [B, T, H, W, 3] and `tracklet` int [B] in
    0..num_tracklets-1, -1 for padding; clips of a tracklet may lie in several batches.
    Raises UserError when a tracklet has no clip or an embedding is not finite.
    """
    total, count = None, np.zeros(num_tracklets, np.int64)
    for batch in batches:
        embeddings = np.asarray(embed_clips(batch["clips"]), np.float64)
        if total is None:
            total = np.zeros((num_tracklets, embeddings.shape[1]))
        _add(total, count, embeddings, np.asarray(batch["tracklet"]))
    if total is None or not count.all():
        missing = np.flatnonzero(count == 0)
        raise UserError(
            f"{len(missing)} of {num_tracklets} tracklets have no clip, "
            f"the first is number {missing[0] if len(missing) else 0}."
        )
    if not np.isfinite(total).all():
        bad = np.flatnonzero(~np.isfinite(total).all(axis=1))
        raise UserError(
            f"The embeddings of {len(bad)} tracklets are not finite, "
            f"the first is number {bad[0]}."
        )
    return (total / count[:, None]).astype(np.float32)


def _add(
    total: Float[np.ndarray, "N D"],
    count: Int[np.ndarray, "N"],
    embeddings: Float[np.ndarray, "B D"],
    tracklet: Int[np.ndarray, "B"],
) -> None:
    real = tracklet >= 0
    np.add.at(total, tracklet[real], embeddings[real])
    np.add.at(count, tracklet[real], 1)
