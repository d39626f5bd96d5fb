"""Finds pairs of tracks that cannot be one person, who is in one place at a time."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse


class Constraints:
    """Answers for blocks of pairs of tracks whether they cannot be one person.

    Two tracks of one recording that share a frame are two persons. With `times`, tracks
    of two cameras whose times overlap are two persons too. This is right only for
    cameras that do not see the same place.

    Args:
        frames: the frame numbers of each track.
        recordings: the recording of each track.
        cameras: the camera of each track.
        times: first and last second of each track on a common clock; None: cameras may
            see the same place.
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
        """Marks the pairs of `rows` and `columns` that cannot be one person."""
        block = self._together[rows][:, columns].toarray()
        if self._times is not None:
            first, last = self._times.T
            overlap = first[rows, None] <= last[columns]
            overlap &= first[columns] <= last[rows, None]
            overlap &= self._cameras[rows, None] != self._cameras[columns]
            block |= overlap
        return block


def _sharing_a_frame(frames, recordings) -> sparse.csr_array:
    """Marks pairs of tracks [N, N] of one recording that share a frame."""
    num = len(frames)
    lengths = [len(numbers) for numbers in frames]
    tracks = np.repeat(np.arange(num), lengths)
    numbers = np.concatenate([np.zeros(0, int), *frames])
    _, numbers = np.unique(numbers, return_inverse=True)
    recording_ids = np.repeat(np.asarray(recordings, int), lengths)
    # A column for each frame of a recording, in order of the frames.
    keys = recording_ids * (numbers.max(initial=0) + 1) + numbers
    frame_keys, columns = np.unique(keys, return_inverse=True)
    # A track enters in a frame if it was not in the frame before. If two tracks share
    # frames, one of them enters in the first frame of such a row of shared frames. So
    # it is enough to compare entered frames with all frames.
    enters = np.ones(len(columns), bool)
    enters[1:] = (np.diff(columns) != 1) | (np.diff(tracks) != 0)

    def incidence(chosen) -> sparse.csr_array:
        indices = tracks[chosen], columns[chosen]
        values = np.ones(len(indices[0]), bool)
        return sparse.coo_array((values, indices), shape=(num, len(frame_keys))).tocsr()

    first, second = (incidence(enters) @ incidence(slice(None)).T).nonzero()
    is_pair = first != second
    first, second = first[is_pair], second[is_pair]
    indices = np.concatenate([first, second]), np.concatenate([second, first])
    values = np.ones(len(indices[0]), bool)
    return sparse.coo_array((values, indices), shape=(num, num)).tocsr()
