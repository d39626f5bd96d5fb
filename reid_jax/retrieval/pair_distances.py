"""Distances of genuine pairs (same person) and impostor pairs (two persons)."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import distances as distances_
from reid_jax.retrieval import match_ranks


class PairDistances:
    """The pairs of a query and a gallery entry that are scored, block by block.

    Excluded are pairs of the same person under the same camera, and pairs with junk.
    The labels are arrays from `ranking.as_labels`.
    """

    def __init__(
        self, distances, query_pids, gallery_pids, query_camids, gallery_camids
    ):
        self._distances = distances
        self._pids = match_ranks.same_codes(query_pids, gallery_pids)
        self._camids = query_camids, gallery_camids
        self._are_junk = (
            query_pids == match_ranks.JUNK_PID,
            gallery_pids == match_ranks.JUNK_PID,
        )

    def genuine(self) -> Real[np.ndarray, "_"]:
        """Returns the distances of the genuine pairs."""
        parts = []
        for rows in self._rows():
            query, entry = np.nonzero(self._are_same_person(rows))
            is_genuine = self._camids[0][rows][query] != self._camids[1][entry]
            is_genuine &= ~self._are_junk[1][entry]
            values = self._distances[rows.start + query[is_genuine], entry[is_genuine]]
            parts.append(_as_floats(values))
        return np.concatenate(parts)

    def impostors(self) -> Iterator[Float[np.ndarray, "_"]]:
        """Yields sorted blocks of distances of impostor pairs, padded with infinity.

        Raises:
            ValueError: distances that are not finite.
        """
        for rows in self._rows():
            block = np.array(_as_floats(self._distances[rows]))  # its own copy
            if not np.isfinite(block).all():
                bad = np.argwhere(~np.isfinite(block))
                raise ValueError(
                    f"{len(bad)} distances are not finite among queries {rows.start} "
                    f"to {rows.stop - 1}, the first for query {rows.start + bad[0][0]} "
                    f"and gallery entry {bad[0][1]}."
                )
            is_excluded = self._are_same_person(rows) | self._are_junk[1]
            is_excluded |= self._are_junk[0][rows, None]
            block[is_excluded] = np.inf
            block = block.reshape(-1)
            block.sort()
            yield block

    def _rows(self) -> Iterator[slice]:
        stop = 0
        for rows in distances_.row_blocks(*self._distances.shape):
            yield slice(max(rows.start, stop), rows.stop)  # each query once
            stop = rows.stop

    def _are_same_person(self, rows: slice) -> Bool[np.ndarray, "_ G"]:
        query, gallery = self._pids
        return query[rows, None] == gallery


def _as_floats(values: Real[Array, "..."]) -> Float[np.ndarray, "..."]:
    """Converts to float32 or float64, exactly where float64 can hold the values."""
    values = np.asarray(values)
    if values.dtype in (np.float32, np.float64):
        return values
    is_half = values.dtype.itemsize == 2 and values.dtype.kind in "fV"
    return values.astype(np.float32 if is_half else np.float64)
