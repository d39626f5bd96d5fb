"""Distances between query and gallery embeddings, always [query, gallery]."""

from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Float, Int, Real

from reid_jax import parallel
from reid_jax.arrays import Array
from reid_jax.retrieval import expansion, nearest

# 2048 × 2048 float32 values are 16 MB. Larger blocks are no faster. On a CPU, each of
# them would also need fresh memory pages from the system.
_BLOCK = 2048
_BLOCK_VALUES = _BLOCK * 2048


def squared_l2(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """Computes squared Euclidean distances, at least 0 and exactly 0 for equal rows.

    The result is float64 if a side is float64 or holds integers of 32 bits or more.
    Otherwise it is float32: the relative error is below about 1e-5, and below 1e-7 for
    rows that nearly coincide. Such rows are therefore ordered as in float64.

    Raises:
        ValueError: an empty side, rows of different lengths, or values that are not
            finite or too large to be squared.
    """
    return _matrix(x, y, "squared_l2")


def l2(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """Computes Euclidean distances; precision and errors are those of `squared_l2`."""
    return _matrix(x, y, "l2")


def cosine(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """Computes 1 - cosine of the angle, in [0, 2]; a zero vector has distance 1 to all.

    It is half the squared L2 distance of the unit vectors, with the precision and
    errors of `squared_l2`.
    """
    return _matrix(x, y, "cosine")


METRICS = {"l2": l2, "cosine": cosine}
"""The distances that `config.eval.metric` can name."""


def unit(x: Real[Array, "N D"]) -> Float[np.ndarray, "N D"]:
    """Divides each row by its length; a zero vector stays zero."""
    return expansion.unit(np.asarray(x), np)[0]


def blocks(
    query: Real[Array, "Q D"],
    gallery: Real[Array, "G _"],
    metric: str,
    *,
    mesh: Mesh | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "_ G"]]]:
    """Yields (slice of queries, their distances to the whole gallery), block by block.

    All blocks have the same shape, so the last one may repeat rows of the one before.
    The gallery is divided among the devices of `mesh`. Metrics, devices and errors are
    those of `top_k`.
    """
    for rows, tiles in _tiles(query, gallery, metric, mesh):
        tiles = [tile for _, tile in tiles]
        yield rows, tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=1)


def _tiles(query, gallery, metric: str, mesh: Mesh | None):
    """Yields (slice of queries, iterator of (first gallery entry, distances)).

    The gallery is cut into equal parts, whose number does not depend on the number of
    devices: a matrix product of another shape may be rounded differently.
    """
    query, gallery = np.asarray(query), np.asarray(gallery)
    _check(query, gallery)
    expand = expansion.Expansion(query, metric, _dtype(query, gallery))
    num = len(gallery)
    num_parts = -(-num // _BLOCK)
    size = -(-num // num_parts)
    replicated, shared = _shardings(mesh, num_parts)
    step = size * shared.mesh.size
    parts = {}
    for start in range(0, num, step):
        y = _padded(gallery[start : start + step], step)
        parts[start] = expand.prepare(y, "gallery", start, shared)
    for rows in row_blocks(len(query), num):
        x = expand.prepare(query[rows], "query", 0, replicated)
        tiles = (
            (start, np.asarray(expand.block(x, y, size))[:, : num - start])
            for start, y in parts.items()
        )
        yield rows, tiles


def _shardings(mesh: Mesh | None, num_parts: int | None) -> list[NamedSharding]:
    """Returns the shardings of the queries and of the gallery.

    Every device has all queries. The gallery is divided into at most `num_parts` parts.
    The devices are those of `mesh`, by default all devices of this process.
    """
    devices = (mesh or parallel.local_mesh()).local_devices[:num_parts]
    mesh = parallel.mesh_of(devices)
    return [NamedSharding(mesh, axis) for axis in (P(), P("data"))]


def _padded(rows: np.ndarray, num: int) -> np.ndarray:
    """Appends rows of zeros up to `num` rows."""
    missing = num - len(rows)
    return np.pad(rows, ((0, missing), (0, 0))) if missing else rows


def row_blocks(num_queries: int, num_gallery: int) -> Iterator[slice]:
    """Yields slices of equal length that cover the queries; the last may overlap."""
    size = min(num_queries, max(64, _BLOCK_VALUES // num_gallery))
    for start in range(0, num_queries, size):
        stop = min(start + size, num_queries)
        yield slice(stop - size, stop)


def top_k(
    query: Real[Array, "Q D"],
    gallery: Real[Array, "G _"] | Iterable[Real[Array, "_ _"]],
    k: int,
    *,
    metric: str = "l2",
    block: int = _BLOCK,
    mesh: Mesh | None = None,
) -> tuple[Float[np.ndarray, "Q {k}"], Int[np.ndarray, "Q {k}"]]:
    """Finds the k nearest gallery entries of each query, nearest first.

    Equal distances keep the order of the gallery. The number of devices does not change
    the result.

    Args:
        query: the query embeddings.
        gallery: an array, or an iterable of blocks of rows of any sizes. An iterable is
            read once.
        k: number of entries to find for each query.
        metric: "l2", "squared_l2" or "cosine": see the functions of these names.
        block: number of gallery rows that each device compares, and holds, at a time.
        mesh: the devices; by default all devices of this process.

    Returns:
        The distances, ascending, and the positions of the entries in the gallery.

    Raises:
        ValueError: as `squared_l2`, or the gallery has fewer than k entries.
    """
    query = np.asarray(query)
    if k < 1 or block < 1:
        raise ValueError(f"k={k} and block={block} must be at least 1.")
    block += -block % nearest.GROUP
    num_blocks = None
    if isinstance(gallery, jax.Array | np.ndarray):
        _check(query, gallery)
        _check_k(k, len(gallery))
        num_blocks = -(-len(gallery) // block)
        gallery = [gallery]
    replicated, shared = _shardings(mesh, num_blocks)
    num_devices = shared.mesh.size
    expand = None
    num_seen = 0
    for rows in _regrouped(block * num_devices, gallery, query):
        if expand is None:
            expand = expansion.Expansion(query, metric, _dtype(query, rows))
            parts = [
                expand.prepare(query[i : i + _BLOCK], "query", 0, replicated)
                for i in range(0, len(query), _BLOCK)
            ]
            with expansion.precision(expand.dtype):
                best = [
                    jax.device_put(
                        nearest.nothing(
                            num_devices, len(x.rows), k, dtype=expand.dtype
                        ),
                        shared,
                    )
                    for x in parts
                ]
        if _dtype(query, rows) != expand.dtype:
            raise ValueError(
                f"a {rows.dtype} block follows {np.dtype(expand.dtype)} ones."
            )
        # All blocks get the same shape, in whole groups, on any number of devices.
        size = block if num_seen else min(block, len(rows))
        size += -size % nearest.GROUP
        padded = _padded(rows, size * num_devices)
        y = expand.prepare(padded, "gallery", num_seen, shared)
        bounds = np.int32(num_seen), np.int32(num_seen + len(rows))
        for i, x in enumerate(parts):
            distances = expand.block(x, y, size)
            with expansion.precision(expand.dtype):
                best[i] = nearest.merge_shares(
                    distances, *best[i], *bounds, shared.mesh
                )
        num_seen += len(rows)
    if not num_seen:
        raise ValueError(f"{len(query)} query and 0 gallery embeddings: one is empty.")
    _check_k(k, num_seen)
    joined = (nearest.join_shares(*shares) for shares in best)
    distances, positions = map(np.concatenate, zip(*joined, strict=True))
    return distances, positions.astype(np.int64)


def _matrix(x, y, metric: str) -> np.ndarray:
    matrix = None
    for rows, tiles in _tiles(x, y, metric, None):
        for start, tile in tiles:
            if matrix is None:
                matrix = np.empty((len(x), len(y)), tile.dtype)
            matrix[rows, start : start + tile.shape[1]] = tile
    return matrix


def _dtype(query: np.ndarray, gallery: np.ndarray) -> type:
    # Half precision and small integers are exact in float32.
    wide = any(
        x.dtype.itemsize > 4 or (x.dtype.kind in "iu" and x.dtype.itemsize > 2)
        for x in (query, gallery)
    )
    return np.float64 if wide else np.float32


def _check(query: np.ndarray, gallery: Array) -> None:
    if query.ndim != 2 or gallery.ndim != 2 or query.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"query embeddings are {query.shape}, gallery embeddings {gallery.shape}: "
            "expected [query, D] and [gallery, D] of one D."
        )
    if not query.size or not gallery.size:
        raise ValueError(
            f"{len(query)} query and {len(gallery)} gallery embeddings: one is empty."
        )


def _check_k(k: int, num_gallery: int) -> None:
    if k > num_gallery:
        raise ValueError(f"k={k} is more than the {num_gallery} gallery embeddings.")


def _regrouped(
    size: int, pieces: Iterable[Array], query: np.ndarray
) -> Iterator[np.ndarray]:
    """Regroups rows into arrays of `size` rows; the last may be smaller."""
    parts, num_rows = [], 0
    for piece in pieces:
        piece = np.asarray(piece)
        if piece.shape[:1] != (0,):
            _check(query, piece)
        start = 0
        while start < len(piece):
            rows = piece[start : start + size - num_rows]
            start += len(rows)
            if len(rows) == size:
                yield rows
                continue
            parts.append(rows.copy())  # the caller may reuse its memory
            num_rows += len(rows)
            if num_rows == size:
                yield np.concatenate(parts)
                parts, num_rows = [], 0
    if parts:
        yield np.concatenate(parts)
