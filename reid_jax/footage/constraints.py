"""Which tracks cannot be one person: nobody is in two places at a time."""

import itertools
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
    of_frame: dict[tuple[int, int], list[int]] = {}
    for track, (numbers, recording) in enumerate(zip(frames, recordings, strict=True)):
        for number in numbers.tolist():
            of_frame.setdefault((int(recording), number), []).append(track)
    # Neighbouring frames mostly show the same tracks: each set of them counts once.
    pairs = {
        pair
        for tracks in {tuple(tracks) for tracks in of_frame.values()}
        for pair in itertools.combinations(tracks, 2)
    }
    one, other = np.array(sorted(pairs), int).reshape(-1, 2).T
    both = np.concatenate([one, other]), np.concatenate([other, one])
    values = np.ones(len(both[0]), bool)
    return sparse.coo_array((values, both), shape=(num, num)).tocsr()
