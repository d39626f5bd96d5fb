"""Embedded tracks: their embeddings, times and pictures."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from reid_jax.footage.cameras import Recording


@dataclasses.dataclass(frozen=True, repr=False)
class Appearances:
    """N tracks of several recordings, in the order of recordings and track ids."""

    recordings: Sequence[Recording]
    embeddings: np.ndarray  # float32 [N, D]
    recording: np.ndarray  # int [N], index into `recordings`
    track: np.ndarray  # int [N], track ids
    frames: list[np.ndarray]  # by track: the numbers of its frames, from 1
    seconds: np.ndarray  # float64 [N, 2]: first and last; nan if unknown
    pictures: list[list[bytes]]  # by track: one to three pictures as JPEG

    def __len__(self) -> int:
        return len(self.track)

    def of(self, number: int) -> Recording:
        """Returns the recording of a track."""
        return self.recordings[self.recording[number]]

    def name(self, number: int) -> str:
        """Returns the name of a track, such as hall:17."""
        return f"{self.of(number).name}:{self.track[number]}"

    def numbers(self) -> dict[tuple[int, int], int]:
        """Maps (recording, track id) to the position of the track."""
        pairs = zip(self.recording.tolist(), self.track.tolist(), strict=True)
        return {pair: number for number, pair in enumerate(pairs)}

    def first_and_last(self, number: int) -> tuple[int, int]:
        """Returns first and last frame of a track, numbered as in its track file."""
        frames = self.frames[number]
        shift = self.of(number).first_frame - 1
        return int(frames[0]) + shift, int(frames[-1]) + shift

    def cameras(self) -> np.ndarray:
        """Returns the camera of each track, as a number [N]."""
        names = np.array([recording.camera for recording in self.recordings])
        return np.unique(names, return_inverse=True)[1][self.recording]

    def clock(self) -> np.ndarray | None:
        """Returns first and last second [N, 2] on one clock; None without a clock."""
        starts = [recording.start for recording in self.recordings]
        if None in starts or np.isnan(self.seconds).any():
            return None
        offsets = np.array([(start - min(starts)).total_seconds() for start in starts])
        return offsets[self.recording][:, None] + self.seconds

    def order(self) -> np.ndarray:
        """Returns the tracks in order of time, or by recording without a clock."""
        times = self.clock()
        first = [numbers[0] for numbers in self.frames]
        keys = (first, self.recording) if times is None else (times[:, 0],)
        return np.lexsort((self.track, *keys))
