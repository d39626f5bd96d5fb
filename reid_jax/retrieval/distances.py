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

# 2048 × 2048 float32 values are 16 MB: larger blocks are no faster and, on a CPU, get
# fresh pages from the system every time.
_BLOCK = 2048
_BLOCK_VALUES = _BLOCK * 2048


def squared_l2(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """Squared Euclidean distances, at least 0 and exactly 0 for equal rows.

    In float64 where either side is (or holds integers of 32 bits or more), else in
    float32: relative error below about 1e-5,
    and below 1e-7 for rows that nearly coincide, which are thus ordered as in float64.
    Raises ValueError for an empty side, rows of other lengths, and values that are not
    finite or too large to be squared.
    """
    return _matrix(x, y, "squared_l2")


def l2(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """Euclidean distances (not squared); precision and errors as `squared_l2`."""
    return _matrix(x, y, "l2")


def cosine(x: Real[Array, "Q D"], y: Real[Array, "G _"]) -> Float[Array, "Q G"]:
    """One minus the cosine of the angle, in [0, 2]; a zero vector is at 1 from all.

    Precision and errors as `squared_l2`: it is half of that for the unit vectors.
    """
    return _matrix(x, y, "cosine")


METRICS = {"l2": l2, "cosine": cosine}
"""What `config.eval.metric` may name."""


def unit(x: Real[Array, "N D"]) -> Float[np.ndarray, "N D"]:
    """Rows over their lengths; a zero vector stays."""
    return expansion.unit(np.asarray(x), np)[0]


def blocks(
    query: Real[Array, "Q D"],
    gallery: Real[Array, "G _"],
    metric: str,
    *,
    mesh: Mesh | None = None,
) -> Iterator[tuple[slice, Float[np.ndarray, "_ G"]]]:
    """Distances of some queries at a time to the whole gallery, with their rows.

    Blocks have one shape: the last may begin with rows of the one before. Metrics,
    devices and errors as `top_k`; the gallery is shared out among the devices.
    """
    for rows, tiles in _tiles(query, gallery, metric, mesh):
        tiles = [tile for _, tile in tiles]
        yield rows, tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=1)


def _tiles(query, gallery, metric: str, mesh: Mesh | None):
    """Yields slices of queries, with an iterator of (first gallery entry, distances).

    The gallery is cut into equal parts, as many on any number of devices: a product
    of other shapes may be rounded otherwise.
    """
    query, gallery = np.asarray(query), np.asarray(gallery)
    _check(query, gallery)
    expand = expansion.Expansion(query, metric, _dtype(query, gallery))
    num = len(gallery)
    num_parts = -(-num // _BLOCK)
    size = -(-num // num_parts)
    whole, shared = _shardings(mesh, num_parts)
    step = size * shared.mesh.size
    parts = {}
    for start in range(0, num, step):
        y = _padded(gallery[start : start + step], step)
        parts[start] = expand.prepare(y, "gallery", start, shared)
    for rows in row_blocks(len(query), num):
        x = expand.prepare(query[rows], "query", 0, whole)
        tiles = (
            (start, np.asarray(expand.block(x, y, size))[:, : num - start])
            for start, y in parts.items()
        )
        yield rows, tiles


def _shardings(mesh: Mesh | None, num_parts: int | None) -> list[NamedSharding]:
    """Of queries, whole on every device, and of the gallery, in at most so many parts.

    The devices are those of `mesh`, by default all of this process.
    """
    devices = (mesh or parallel.local_mesh()).local_devices[:num_parts]
    mesh = parallel.mesh_of(devices)
    return [NamedSharding(mesh, axis) for axis in (P(), P("data"))]


def _padded(rows: np.ndarray, num: int) -> np.ndarray:
    """`rows`, and zeros up to `num` rows."""
    missing = num - len(rows)
    return np.pad(rows, ((0, missing), (0, 0))) if missing else rows


def row_blocks(num_queries: int, num_gallery: int) -> Iterator[slice]:
    """Slices of one length that cover the queries; the last may overlap another."""
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
    """Distances to the k nearest gallery entries, ascending, and their positions.

    `gallery` is an array, or an iterable of blocks of rows, of whatever sizes, that is
    read once. `block` rows of it are compared at a time on each device of `mesh` (by
    default all of this process), and no more are held; the number of devices changes
    nothing in the result. Equal distances keep the order of the gallery. `metric` is
    "l2", "squared_l2" or "cosine", computed as by the functions of that name.
    Raises ValueError as they do, and when the gallery has fewer than k entries.
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
    whole, shared = _shardings(mesh, num_blocks)
    num_devices = shared.mesh.size
    expand = None
    num_seen = 0
    for rows in _of_size(block * num_devices, gallery, query):
        if expand is None:
            expand = expansion.Expansion(query, metric, _dtype(query, rows))
            parts = [
                expand.prepare(query[i : i + _BLOCK], "query", 0, whole)
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
        # One shape for all blocks, on any number of devices, and whole groups.
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
    joined = (nearest.join_shares(*of_part) for of_part in best)
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


def _of_size(
    size: int, pieces: Iterable[Array], query: np.ndarray
) -> Iterator[np.ndarray]:
    """The same rows in arrays of `size` rows, the last perhaps smaller."""
    held, num_held = [], 0
    for piece in pieces:
        piece = np.asarray(piece)
        if piece.shape[:1] != (0,):
            _check(query, piece)
        start = 0
        while start < len(piece):
            rows = piece[start : start + size - num_held]
            start += len(rows)
            if len(rows) == size:
                yield rows
                continue
            held.append(rows.copy())  # the caller may use its memory again
            num_held += len(rows)
            if num_held == size:
                yield np.concatenate(held)
                held, num_held = [], 0
    if held:
        yield np.concatenate(held)
