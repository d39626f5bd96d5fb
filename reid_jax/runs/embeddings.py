"""Embeds tracklets by the mean over their clips (paper 1, Sec. 3.3); stores them."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from reid_jax import files, parallel, peers
from reid_jax.arrays import Array
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The tracklets of a split: embedding, person, camera and name of each."""

    embeddings: np.ndarray  # [N, D]
    pids: np.ndarray  # [N]
    camids: np.ndarray  # [N]
    tracklets: np.ndarray  # names, [N]


Methods = dict[str, dict[str, Embedded]]
"""Embedded splits by method ("trained", …) and split ("query", "gallery", "train")."""


class Network:
    """A network with its weights, which maps clips to embeddings.

    `embed_step(params, batch_stats, clips)` is from `steps.make_embed_step`. Batches
    are sharded over `mesh`.
    """

    def __init__(self, embed_step: Callable, params, batch_stats, mesh: Mesh):
        self.step = embed_step
        self.params, self.batch_stats, self.mesh = params, batch_stats, mesh
        # A Partial is a pytree: the weights become arguments of compiled programs that
        # use it, not constants in them.
        self.embed = jax.tree_util.Partial(
            lambda params, batch_stats, clips: (
                embed_step(params, batch_stats, clips).embedding
            ),
            params,
            batch_stats,
        )

    def __call__(self, clips: Array) -> Float[Array, "B D"]:
        """Embeds clips [B, T, H, W, 3]; every process can read the whole result."""
        return parallel.gather(self.embed(parallel.shard(clips, self.mesh)), self.mesh)

    def embed_split(
        self,
        source,
        name: str,
        batches: Iterable[dict] | None = None,
        *,
        together: bool = False,
    ) -> Embedded:
        """Embeds a split of a source.

        Args:
            source: a `source.Source`.
            name: the split.
            batches: by default the evaluation batches of the split.
            together: whether every process embeds a share of the batches on its
                devices.
        """
        split = source.split(name)
        if batches is None:
            share = peers.share() if together else (0, 1)
            batches = source.eval_batches(name, self.mesh, share=share)
        embeddings = embed_tracklets(self, batches, len(split), together=together)
        return Embedded(embeddings, split.pids, split.camids, split.names)


def embed_tracklets(
    embed_clips: Callable[[Array], Float[Array, "B D"]],
    batches: Iterable[dict[str, Array]],
    num_tracklets: int,
    *,
    or_nan: bool = False,
    together: bool = False,
) -> Float[np.ndarray, "N D"]:
    """Computes the mean embedding of every tracklet's clips, float32.

    The next batch is prepared while the device computes the previous one.

    Args:
        embed_clips: maps clips to embeddings.
        batches: have `clips` uint8 [B, T, H, W, 3], and `tracklet` int [B] in
            0..num_tracklets-1, or -1 for padding. Clips of a tracklet may be in several
            batches.
        num_tracklets: N.
        or_nan: whether tracklets without a clip get nan.
        together: whether each process has some of the batches, and gets the embeddings
            of all. They equal those of one process to the bit, because sums of float32
            numbers are exact in float64, unless one is 2^29 times as large as another.

    Raises:
        UserError: a tracklet has no clip (without `or_nan`), or an embedding is not
            finite.
    """
    sums = _Sums(num_tracklets)
    computing = None
    for batch in batches:
        if together:
            peers.check_others()
        dispatched = embed_clips(batch["clips"]), batch["tracklet"]
        if computing is not None:
            sums.add(*map(np.asarray, computing))
        computing = dispatched
    if computing is not None:
        sums.add(*map(np.asarray, computing))
    if together:
        sums.add_those_of_others()
    return sums.means(or_nan=or_nan)


class _Sums:
    """Accumulates the sum and the number of clip embeddings of each tracklet."""

    def __init__(self, num_tracklets: int):
        self._total: np.ndarray | None = None
        self._count = np.zeros(num_tracklets, np.int64)

    def add(
        self, embeddings: Float[np.ndarray, "B D"], tracklet: Int[np.ndarray, "B"]
    ) -> None:
        if self._total is None:
            self._total = np.zeros((len(self._count), embeddings.shape[1]))
        is_real = tracklet >= 0
        np.add.at(self._total, tracklet[is_real], embeddings[is_real])
        np.add.at(self._count, tracklet[is_real], 1)

    def add_those_of_others(self) -> None:
        """Adds the sums of the other processes; all must call this."""
        dims = 0 if self._total is None else self._total.shape[1]
        dims = max(peers.told_by_all(dims))  # a process may have had no batch
        if dims and self._total is None:
            self._total = np.zeros((len(self._count), dims))
        if dims:
            self._total = peers.sum_of_all(self._total)
            self._count = peers.sum_of_all(self._count)

    def means(self, *, or_nan: bool) -> Float[np.ndarray, "N D"]:
        total, count = self._total, self._count
        if total is None and or_nan:
            return np.zeros((len(count), 0), np.float32)
        if total is None or not (or_nan or count.all()):
            missing = np.flatnonzero(count == 0)
            raise UserError(
                f"{len(missing)} of {len(count)} tracklets have no clip, "
                f"the first is number {missing[0] if len(missing) else 0}."
            )
        if not np.isfinite(total).all():
            bad = np.flatnonzero(~np.isfinite(total).all(axis=1))
            raise UserError(
                f"The embeddings of {len(bad)} tracklets are not finite, "
                f"the first is number {bad[0]}."
            )
        total[count == 0] = np.nan
        return (total / np.maximum(count, 1)[:, None]).astype(np.float32)


def save(path: str | os.PathLike, cache_key: str, methods: Methods) -> None:
    """Writes embeddings as one .npz, under `<method>.<split>.<field>`.

    `cache_key` describes everything that they depend on (`run.cache_key`).
    """
    arrays = {"source": np.array(cache_key)}
    for method, splits in methods.items():
        for split, embedded in splits.items():
            for field in dataclasses.fields(Embedded):
                key = f"{method}.{split}.{field.name}"
                arrays[key] = getattr(embedded, field.name)
    with files.write_whole(path) as unfinished:
        np.savez(unfinished, **arrays)


def load(path: str | os.PathLike, cache_key: str) -> Methods:
    """Loads what `save` wrote; {} if missing, damaged or with another `cache_key`."""
    path = pathlib.Path(path)
    try:
        # Opened here, because NumPy does not close a damaged file that it has opened.
        with path.open("rb") as file, np.load(file) as arrays:
            if str(arrays["source"]) != cache_key:
                return {}
            methods = {}
            for key in dict.fromkeys(k.rpartition(".")[0] for k in arrays if "." in k):
                method, split = key.split(".")
                names = (field.name for field in dataclasses.fields(Embedded))
                embedded = Embedded(*(arrays[f"{key}.{name}"] for name in names))
                methods.setdefault(method, {})[split] = embedded
    except Exception:  # NumPy raises anything on damaged files
        return {}
    all_splits = [
        embedded_split
        for splits in methods.values()
        for embedded_split in splits.values()
    ]
    return methods if all(map(_is_whole, all_splits)) else {}


def _is_whole(embedded: Embedded) -> bool:
    """Whether the arrays have the same length and the embeddings are finite."""
    lengths = {len(embedded.embeddings), len(embedded.pids), len(embedded.camids)}
    return len(lengths) == 1 and bool(np.isfinite(embedded.embeddings).all())
