"""Tracks as they were seen: their embeddings, when, and some pictures."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from reid_jax.footage.cameras import Recording


@dataclasses.dataclass(frozen=True, repr=False)
class Appearances:
    """N tracks of several recordings, in the order of recordings and track ids."""

    recordings: Sequence[Recording]
    embeddings: np.ndarray  # float32 [N, D]
    recording: np.ndarray  # int [N], of `recordings`
    track: np.ndarray  # int [N], ids
    frames: list[np.ndarray]  # of each track: the numbers of its frames, from 1
    seconds: np.ndarray  # float64 [N, 2]: first and last, nan where not known
    pictures: list[list[bytes]]  # of each track: one to three as JPEG

    def __len__(self) -> int:
        return len(self.track)

    def of(self, number: int) -> Recording:
        """The recording of a track."""
        return self.recordings[self.recording[number]]

    def name(self, number: int) -> str:
        """What a track is called: hall:17."""
        return f"{self.of(number).name}:{self.track[number]}"

    def numbers(self) -> dict[tuple[int, int], int]:
        """(recording, id) → the position of each track."""
        pairs = zip(self.recording.tolist(), self.track.tolist(), strict=True)
        return {pair: number for number, pair in enumerate(pairs)}

    def first_and_last(self, number: int) -> tuple[int, int]:
        """Frames of a track, as the file of its tracks counts."""
        frames = self.frames[number]
        shift = self.of(number).first_frame - 1
        return int(frames[0]) + shift, int(frames[-1]) + shift

    def cameras(self) -> np.ndarray:
        """A number for the camera of each track [N]."""
        names = np.array([recording.camera for recording in self.recordings])
        return np.unique(names, return_inverse=True)[1][self.recording]

    def clock(self) -> np.ndarray | None:
        """First and last second [N, 2] on one clock; None where there is none."""
        starts = [each.start for each in self.recordings]
        if None in starts or np.isnan(self.seconds).any():
            return None
        offsets = np.array([(start - min(starts)).total_seconds() for start in starts])
        return offsets[self.recording][:, None] + self.seconds

    def order(self) -> np.ndarray:
        """Positions of the tracks by time; by recording where there is no clock."""
        times = self.clock()
        first = [numbers[0] for numbers in self.frames]
        keys = (first, self.recording) if times is None else (times[:, 0],)
        return np.lexsort((self.track, *keys))
