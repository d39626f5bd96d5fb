"""Finds the ranks of the gallery entries that show the query's person.

Every score of a ranking needs only these ranks. A rank is the number of nearer entries,
which is counted without sorting the row of distances.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Integer, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import distances as distances_
from reid_jax.retrieval import expansion

JUNK_PID = -1
_TOGETHER = 8  # number of ranks of a query that one pass over its row counts
# Above this number of ranks, one stable sort of the row is cheaper than counting.
_MAX_COUNTED = 512


@dataclasses.dataclass(frozen=True)
class MatchRanks:
    """Gallery entries with their query's pid, without junk; by query, nearest first.

    - `query` [n]: position of the query.
    - `entry` [n]: position of the entry in the gallery.
    - `rank` [n]: rank of the entry, from 0: the number of entries, without junk, that
      are nearer to the query, or as near and earlier in the gallery.
    """

    query: np.ndarray
    entry: np.ndarray
    rank: np.ndarray


def find(
    distances: Real[Array, "Q G"],
    query_pids: Integer[Array, "Q"],
    gallery_pids: Integer[Array, "G"],
) -> MatchRanks:
    """Finds the ranks of all queries; distances are compared without rounding.

    Raises:
        ValueError: distances that are not finite.
    """
    person_entries = _PersonEntries(query_pids, gallery_pids)
    parts, num_seen = [], 0
    for rows in distances_.row_blocks(*distances.shape):
        part = person_entries.ranks(rows, distances[rows])
        is_new = part.query >= num_seen
        parts.append((part.query[is_new], part.entry[is_new], part.rank[is_new]))
        num_seen = rows.stop
    return MatchRanks(*map(np.concatenate, zip(*parts, strict=True)))


class _PersonEntries:
    """Maps each query to the gallery entries with its person id."""

    def __init__(
        self, query_pids: Integer[Array, "Q"], gallery_pids: Integer[Array, "G"]
    ):
        self._is_junk = np.asarray(gallery_pids) == JUNK_PID
        query, gallery = same_codes(query_pids, gallery_pids)
        entries = np.flatnonzero(~self._is_junk)
        # Sorted by pid, then by position.
        self._entries = entries[np.argsort(gallery[entries], kind="stable")]
        pids = gallery[self._entries]
        self._first = np.searchsorted(pids, query, side="left")
        self._num = np.searchsorted(pids, query, side="right") - self._first

    def ranks(self, rows: slice, distances: Real[Array, "_ G"]) -> MatchRanks:
        """Finds the ranks of the queries `rows` from their distances."""
        nums = self._num[rows]
        query = np.repeat(np.arange(len(nums)), nums)
        offset = np.arange(len(query)) - np.repeat(np.cumsum(nums) - nums, nums)
        entry = self._entries[np.repeat(self._first[rows], nums) + offset]
        if distances.dtype not in (np.float32, np.float64):
            is_half = distances.dtype.itemsize == 2 and distances.dtype.kind in "fV"
            # float64 is exact for integers up to 2^53.
            distances = distances.astype(np.float32 if is_half else np.float64)
        rank = np.empty(len(query), np.int64)
        is_counted = (nums <= _MAX_COUNTED)[query]
        rank[is_counted], is_finite = _count(
            distances,
            self._is_junk,
            query[is_counted],
            entry[is_counted],
            offset[is_counted],
        )
        if not is_finite:
            bad = np.argwhere(~np.isfinite(distances))
            raise ValueError(
                f"{len(bad)} distances are not finite among queries {rows.start} to "
                f"{rows.stop - 1}, the first for query {rows.start + bad[0][0]} and "
                f"gallery entry {bad[0][1]}."
            )
        for row in np.flatnonzero(nums > _MAX_COUNTED):
            rank[query == row] = self._sort(distances[row])[entry[query == row]]
        order = np.lexsort((rank, query))
        return MatchRanks(query[order] + rows.start, entry[order], rank[order])

    def _sort(self, distances: Real[Array, "G"]) -> np.ndarray:
        """Finds the ranks of all entries of a row by one stable sort, junk last."""
        distances = np.where(self._is_junk, np.inf, distances)
        rank = np.empty(len(distances), np.int64)
        rank[np.argsort(distances, kind="stable")] = np.arange(len(distances))
        return rank


def same_codes(
    first: Integer[Array, "_"], second: Integer[Array, "_"]
) -> tuple[np.ndarray, np.ndarray]:
    """Converts integer labels of any width to int32 codes, in the same order."""
    first, second = np.asarray(first), np.asarray(second)
    # Signed and uint64 have no common integer type.
    if np.result_type(first, second).kind == "f":
        first, second = first.astype(object), second.astype(object)
    _, codes = np.unique(np.concatenate([first, second]), return_inverse=True)
    return codes[: len(first)].astype(np.int32), codes[len(first) :].astype(np.int32)


def _count(distances, is_junk, query, entry, offset) -> tuple[np.ndarray, bool]:
    """Counts the ranks of `entry`; also returns whether all distances are finite.

    `offset` is the position of an entry among those of its query. The entries are
    counted in parcels of `_TOGETHER` entries of one query.
    """
    starts = np.flatnonzero(offset % _TOGETHER == 0)
    parcel = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(query)))
    # Rounded up to a power of two, so that few programs are compiled.
    size = 1 << max(0, len(starts) - 1).bit_length()
    parcel_row = np.zeros(size, np.int32)
    parcel_row[: len(starts)] = query[starts]
    parcel_entries = np.zeros((size, _TOGETHER), np.int32)
    parcel_entries[parcel, offset % _TOGETHER] = entry
    with expansion.precision(distances.dtype):
        keys, is_finite = _ascending_integers(distances)
        ranks = _count_parcels(keys, is_junk, parcel_row, parcel_entries, len(starts))
    return np.asarray(ranks)[parcel, offset % _TOGETHER], bool(is_finite)


@jax.jit
def _count_parcels(keys, is_junk, parcel_row, parcel_entries, num_parcels):
    keys = jnp.where(is_junk, jnp.iinfo(keys.dtype).max, keys)  # junk ranks last
    position = jnp.arange(keys.shape[1], dtype=jnp.int32)

    def count(parcel, ranks):
        row, entries = keys[parcel_row[parcel]], parcel_entries[parcel]
        # Counts entries that are nearer, or as near and earlier in the gallery.
        limit = row[entries] + (position[:, None] < entries)
        nearer = jnp.sum(row[:, None] < limit, axis=0, dtype=jnp.int32)
        return ranks.at[parcel].set(nearer)

    zeros = jnp.zeros(parcel_entries.shape, jnp.int32)
    return jax.lax.fori_loop(0, num_parcels, count, zeros)


def _ascending_integers(x):
    """Maps floats to integers of the same order; also returns whether all are finite.

    Equal floats get equal integers, and -0 equals 0. The bits of a float are a sign and
    a magnitude; the magnitude bits of negative floats are inverted. Denormals stay
    distinct, even if the processor treats them as 0.
    """
    if x.dtype == np.float32:
        return _ascending_int32(x)
    # In NumPy: a TPU stores a float64 as two float32, and cannot give its bits.
    x = np.asarray(x)
    return _in_order(x.view(np.int64), np), np.isfinite(x).all()


@jax.jit
def _ascending_int32(x):
    bits = jax.lax.bitcast_convert_type(x, jnp.int32)
    return _in_order(bits, jnp), jnp.isfinite(x).all()


def _in_order(bits, xp):
    keys = xp.where(bits < 0, bits ^ xp.iinfo(bits.dtype).max, bits)
    return xp.where(keys == -1, 0, keys)
