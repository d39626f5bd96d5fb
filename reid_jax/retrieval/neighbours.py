"""Finds nearest neighbours within a set of embeddings, one block at a time."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from reid_jax.arrays import Array
from reid_jax.retrieval import nearest

_HIGHEST = jax.lax.Precision.HIGHEST
# ‖x‖²+‖y‖²-2xy in float32 has an error of about 1e-6 (‖x‖²+‖y‖²). If the result is
# below this share of ‖x‖²+‖y‖², it is computed from the difference of the rows instead.
_CLOSE = 1e-2
_SAMPLE = 1024  # number of rows of a side that determine shift and scale
_CHUNK = 64  # number of rows rescaled at a time, which fit in the cache


class Rows:
    """The rows of two arrays, one after the other, in float32 and on a common scale.

    They are shifted and scaled so that squared distances of most pairs neither cancel
    nor overflow. The shift does not change distances; the scale does not change which
    rows are neighbours. The scale is a power of two, and the shift a multiple of it:
    embeddings on a grid (integers, for example) stay on a grid, and equal distances
    stay equal. A row is rescaled when it is read.
    """

    def __init__(self, first: Float[Array, "Q D"], second: Float[Array, "G D"]):
        self._sides = first, second = np.asarray(first), np.asarray(second)
        dtype = np.result_type(first, second, np.float32)
        rows = (side[:: max(1, len(side) // _SAMPLE)] for side in self._sides)
        sample = np.concatenate(list(rows)).astype(np.float64)
        centre = np.median(sample, axis=0)  # robust to outliers
        sizes = np.abs(sample - centre).max(axis=1, initial=0.0)
        size = np.median(sizes) or sizes.max() or np.abs(centre).max(initial=0.0) or 1.0
        largest = np.finfo(dtype).maxexp - 2
        unit = 2.0 ** np.clip(np.ceil(np.log2(size)), -largest, largest)
        self._shift = (np.round(centre / unit) * unit).astype(dtype)
        self._inverse = dtype.type(1 / unit)

    def __len__(self) -> int:
        return sum(len(side) for side in self._sides)

    def __getitem__(self, index: Integer[np.ndarray, "N"]) -> Float[np.ndarray, "N D"]:
        first, second = self._sides
        rows = np.empty((len(index), len(self._shift)), self._shift.dtype)
        in_first = index < len(first)
        rows[in_first] = first[index[in_first]]
        rows[~in_first] = second[index[~in_first] - len(first)]
        return self._rescale(rows)

    def block(self, start: int, size: int) -> Float[np.ndarray, "N D"]:
        """Returns `size` rows from `start`; rows past the end are zeros."""
        rows = np.zeros((size, len(self._shift)), np.float32)
        offset = -start
        for side in self._sides:
            begin, end = max(offset, 0), min(offset + len(side), size)
            for chunk in range(begin, end, _CHUNK):
                part = slice(chunk, min(chunk + _CHUNK, end))
                source = side[part.start - offset : part.stop - offset]
                rows[part] = self._rescale(source)
            offset += len(side)
        return rows

    def _rescale(self, rows: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "N D"]:
        return ((rows - self._shift) * self._inverse).astype(np.float32, copy=False)


@dataclasses.dataclass(frozen=True)
class Neighbours:
    """Squared Euclidean distances of n rows on their common scale.

    - `nearest` [n, k]: positions of the k nearest rows of each row, itself included,
      nearest first; ties are broken by position.
    - `squared` [n, k]: their distances.
    - `furthest` [n]: the largest distance of each row.
    - `between` [Q, G]: distances of the first Q rows to the other G rows.
    """

    nearest: np.ndarray
    squared: np.ndarray
    furthest: np.ndarray
    between: np.ndarray


def find(rows: Rows, num_first: int, k: int, *, block: int) -> Neighbours:
    """Finds the `k` nearest rows of each row, `block` rows at a time.

    Distances are symmetric: each pair of blocks is multiplied once, and the product is
    used for the rows of both. A row meets the blocks in the order of their positions. A
    stable merge of its k nearest so far with the next block therefore breaks ties by
    position.
    """
    num = len(rows)
    num_blocks = -(-num // _whole_groups(block))
    # Equal blocks: one compilation, little padding.
    size = _whole_groups(-(-num // num_blocks))
    between = np.empty((num_first, num - num_first), np.float32)
    nothing = nearest.nothing(size, k, dtype=np.float32)
    best = [(*nothing, np.zeros(size, np.float32))] * num_blocks
    pairs = (
        (i, j, *_block(rows, j * size, size))
        for i in range(num_blocks)
        for j in range(i, num_blocks)
    )
    upcoming = next(pairs)
    while upcoming:
        i, j, x_j, norms_j = upcoming
        if i == j:
            x_i, norms_i = x_j, norms_j
        starts = i * size, j * size
        squared, any_close, best_i, best_j = _step(
            x_i, x_j, norms_i, norms_j, *starts, num, best[i], best[j]
        )
        upcoming = next(pairs, None)  # prepared while the step runs
        if any_close:
            squared = _repaired(squared, x_i, x_j, norms_i, norms_j)
            best_i = _merge(best[i], squared, starts[1], num)
            best_j = _merge(best[j], squared.T, starts[0], num)
        best[j] = best_j
        best[i] = best_i  # if i == j, the rows must count once
        _copy(squared, between, *starts)
    columns = zip(*jax.device_get(best), strict=True)
    squared, positions, furthest = (np.concatenate(column)[:num] for column in columns)
    return Neighbours(positions, squared, furthest, between)


def find_in(distances: Float[np.ndarray, "N N"], num_first: int, k: int) -> Neighbours:
    """Like `find`, but from a matrix of all distances, by any metric."""
    positions = np.empty((len(distances), k), np.int32)
    for row, row_distances in enumerate(distances):
        # Sort only the rows that are no further than the k-th.
        limit = np.partition(row_distances, k - 1)[k - 1]
        near = np.flatnonzero(row_distances <= limit)
        positions[row] = near[np.argsort(row_distances[near], kind="stable")][:k]
    return Neighbours(
        positions,
        np.take_along_axis(distances, positions, axis=1),
        distances.max(axis=1),
        distances[:num_first, num_first:].copy(),
    )


def squared_of_pairs(
    x, y, in_x: Integer[np.ndarray, "N"], in_y: Integer[np.ndarray, "N"]
) -> Float[np.ndarray, "N"]:
    """Computes squared distances of pairs by direct difference; `in_x` is sorted."""
    squared = np.empty(len(in_x), np.float32)
    bounds = np.append(np.flatnonzero(np.diff(in_x, prepend=-1)), len(in_x))
    for start, end in itertools.pairwise(bounds):
        difference = y[in_y[start:end]] - x[in_x[start : start + 1]]
        squared[start:end] = np.einsum("pd,pd->p", difference, difference)
    return squared


def _block(rows: Rows, start: int, size: int) -> tuple[jax.Array, np.ndarray]:
    """Returns rows from `start` and their squared norms."""
    x = rows.block(start, size)
    # Norms computed in `_step` would slow down its matrix product (XLA on the CPU).
    norms = np.einsum("nd,nd->n", x, x)
    if not norms.max() < np.finfo(np.float32).max / 16:
        raise ValueError(
            f"embedding {start + int(np.argmax(norms))} of queries and gallery is too "
            "far from the others for distances in float32."
        )
    return jnp.asarray(x), norms


@jax.jit
def _step(x_i, x_j, norms_i, norms_j, i, j, num, best_i, best_j):
    """Computes the distances between two blocks, and merges them into both.

    The blocks' rows start at `i` and `j`. Returns (distances, whether distances of
    different rows may have cancelled, merged nearest of `i`, merged nearest of `j`).
    """
    norms = norms_i[:, None] + norms_j[None, :]
    squared = norms - 2 * jnp.matmul(x_i, x_j.T, precision=_HIGHEST)
    size = len(squared)
    itself = (i + jnp.arange(size))[:, None] == (j + jnp.arange(size))[None, :]
    # Not `maximum`: it can return -0, and top_k orders -0 before 0.
    squared = jnp.where(itself | (squared <= 0), 0.0, squared)
    any_close = jnp.any((squared < _CLOSE * norms) & ~itself)
    best_i = _merge(best_i, squared, j, num)
    best_j = _merge(best_j, squared.T, i, num)
    return squared, any_close, best_i, best_j


@jax.jit
def _merge(best: tuple, squared: Float[Array, "N N"], start, num) -> tuple:
    """Merges distances to the rows from `start` into `best`, without the padding."""
    *so_far, furthest = best
    exists = start + jnp.arange(len(squared)) < num
    largest = jnp.max(squared, axis=1, where=exists, initial=0.0)
    reachable = jnp.where(exists, squared, jnp.inf)
    return *nearest.merge(reachable, *so_far, start), jnp.maximum(furthest, largest)


def _whole_groups(num: int) -> int:
    return num + -num % nearest.GROUP


def _repaired(
    squared: Float[Array, "N N"],
    x_i: Float[Array, "N D"],
    x_j: Float[Array, "N D"],
    norms_i: Float[np.ndarray, "N"],
    norms_j: Float[np.ndarray, "N"],
) -> Float[np.ndarray, "N N"]:
    """Recomputes the distances of nearby rows in a block by direct difference."""
    squared = np.array(squared)
    norms = norms_i[:, None] + norms_j[None, :]
    in_i, in_j = np.nonzero(squared < _CLOSE * norms)
    squared[in_i, in_j] = squared_of_pairs(np.asarray(x_i), np.asarray(x_j), in_i, in_j)
    return squared


def _copy(
    squared: Float[Array, "N N"], between: Float[np.ndarray, "Q G"], i: int, j: int
) -> None:
    """Copies from a block the distances of the first Q rows to the others."""
    size, (num_first, num_second) = len(squared), between.shape
    rows = min(size, num_first - i)
    columns = range(max(j - num_first, 0), min(j - num_first + size, num_second))
    if rows > 0 and columns:
        skipped = columns.start - (j - num_first)
        part = np.asarray(squared)[:rows, skipped : skipped + len(columns)]
        between[i : i + rows, columns.start : columns.stop] = part
