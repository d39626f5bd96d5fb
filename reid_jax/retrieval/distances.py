"""Distances between query and gallery embeddings, always [query, gallery]."""

from collections.abc import Iterable, Iterator

import jax
import numpy as np
from jaxtyping import Float, Int, Real

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
    query: Real[Array, "Q D"], gallery: Real[Array, "G _"], metric: str
) -> Iterator[tuple[slice, Float[Array, "_ G"]]]:
    """Distances of some queries at a time to the whole gallery, with their rows.

    Blocks have one shape: the last may begin with rows of the one before. Metrics and
    errors as `top_k`.
    """
    query, gallery = np.asarray(query), np.asarray(gallery)
    _check(query, gallery)
    expand = expansion.Expansion(query, metric, _dtype(query, gallery))
    y = expand.prepare(gallery, "gallery")
    for rows in row_blocks(len(query), len(gallery)):
        yield rows, expand.block(expand.prepare(query[rows], "query"), y)


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
) -> tuple[Float[np.ndarray, "Q {k}"], Int[np.ndarray, "Q {k}"]]:
    """Distances to the k nearest gallery entries, ascending, and their positions.

    `gallery` is an array, or an iterable of blocks of rows, of whatever sizes, that is
    read once; `block` rows of it are compared at a time, and no more are held. Equal
    distances keep the order of the gallery. `metric` is "l2", "squared_l2" or "cosine",
    computed as by the functions of that name.
    Raises ValueError as they do, and when the gallery has fewer than k entries.
    """
    query = np.asarray(query)
    if k < 1 or block < 1:
        raise ValueError(f"k={k} and block={block} must be at least 1.")
    if isinstance(gallery, jax.Array | np.ndarray):
        _check(query, gallery)
        _check_k(k, len(gallery))
        gallery = [gallery]
    block += -block % nearest.GROUP
    expand = None
    num_seen = 0
    for rows in _of_size(block, gallery, query):
        if expand is None:
            expand = expansion.Expansion(query, metric, _dtype(query, rows))
            parts = [
                expand.prepare(query[i : i + _BLOCK], "query")
                for i in range(0, len(query), _BLOCK)
            ]
            best = [nearest.nothing(len(part.rows), k, expand.dtype) for part in parts]
        if _dtype(query, rows) != expand.dtype:
            raise ValueError(
                f"a {rows.dtype} block follows {np.dtype(expand.dtype)} ones."
            )
        # One shape for all blocks, and whole groups.
        size = block if num_seen else len(rows)
        padding = size - len(rows) + -size % nearest.GROUP
        padded = np.pad(rows, ((0, padding), (0, 0))) if padding else rows
        y = expand.prepare(padded, "gallery", num_seen)
        for i, x in enumerate(parts):
            distances = expand.block(x, y)
            if padding:
                distances = np.array(distances)
                distances[:, len(rows) :] = np.inf
            with expansion.precision(expand.dtype):
                best[i] = nearest.merge(distances, *best[i], np.int32(num_seen))
        num_seen += len(rows)
    if not num_seen:
        raise ValueError(f"{len(query)} query and 0 gallery embeddings: one is empty.")
    _check_k(k, num_seen)
    distances = np.concatenate([np.asarray(part) for part, _ in best])
    positions = np.concatenate([np.asarray(part, np.int64) for _, part in best])
    return distances, positions


def _matrix(x, y, metric: str) -> np.ndarray:
    matrix = None
    for rows, block in blocks(x, y, metric):
        if matrix is None:
            matrix = np.empty((len(x), len(y)), block.dtype)
        matrix[rows] = block
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
