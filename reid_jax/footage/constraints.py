"""Which tracks cannot be one person: nobody is in two places at a time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse


class Constraints:
    """Pairs of tracks that cannot be one person, asked for in blocks.

    Two tracks of one recording that share a frame are two persons. With `times`, first
    and last second [N, 2] of each track on one clock, so are tracks of two cameras
    whose times overlap: for cameras that do not see the same place.
    """

    def __init__(
        self,
        frames: Sequence[Int[np.ndarray, "_"]],
        recordings: Int[np.ndarray, "N"],
        cameras: Int[np.ndarray, "N"],
        times: Float[np.ndarray, "N 2"] | None = None,
    ):
        self._together = _sharing_a_frame(frames, recordings)
        self._cameras, self._times = np.asarray(cameras), times

    def __call__(
        self, rows: np.ndarray, columns: np.ndarray
    ) -> Bool[np.ndarray, "R C"]:
        """Whether each of the tracks `rows` and each of `columns` cannot be one."""
        block = self._together[rows][:, columns].toarray()
        if self._times is not None:
            first, last = self._times.T
            overlap = first[rows, None] <= last[columns]
            overlap &= first[columns] <= last[rows, None]
            overlap &= self._cameras[rows, None] != self._cameras[columns]
            block |= overlap
        return block


def _sharing_a_frame(frames, recordings) -> sparse.csr_array:
    """Tracks [N, N] of one recording that have a box in the same frame."""
    num = len(frames)
    lengths = [len(numbers) for numbers in frames]
    tracks = np.repeat(np.arange(num), lengths)
    numbers = np.concatenate([np.zeros(0, int), *frames])
    _, numbers = np.unique(numbers, return_inverse=True)
    of_recordings = np.repeat(np.asarray(recordings, int), lengths)
    # A column for each frame of a recording; those of neighbours are neighbours.
    keys = of_recordings * (numbers.max(initial=0) + 1) + numbers
    distinct, columns = np.unique(keys, return_inverse=True)
    # A track enters where it was not in the frame before. Two tracks that share a frame
    # share one where one of them enters: the first of those that they share in a row.
    enters = np.ones(len(columns), bool)
    enters[1:] = (np.diff(columns) != 1) | (np.diff(tracks) != 0)

    def incidence(chosen) -> sparse.csr_array:
        places = tracks[chosen], columns[chosen]
        values = np.ones(len(places[0]), bool)
        return sparse.coo_array((values, places), shape=(num, len(distinct))).tocsr()

    one, other = (incidence(enters) @ incidence(slice(None)).T).nonzero()
    is_pair = one != other
    one, other = one[is_pair], other[is_pair]
    both = np.concatenate([one, other]), np.concatenate([other, one])
    values = np.ones(len(both[0]), bool)
    return sparse.coo_array((values, both), shape=(num, num)).tocsr()
