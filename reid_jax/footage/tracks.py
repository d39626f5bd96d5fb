"""Reads the tracks of all recordings before the long work begins."""

import dataclasses
from collections.abc import Callable, Sequence

from data.videos import mot
from reid_jax.errors import UserError
from reid_jax.footage.cameras import Recording


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that choose the boxes to embed."""

    min_frames: int = 8
    """Tracks with fewer boxes are not embedded."""
    every: int = 1
    """Every `every`-th box of a track is embedded."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The recordings and tracks to embed."""

    recordings: Sequence[Recording]
    settings: Settings
    files: list[mot.Tracks]
    """Content of the track file of each recording."""
    tracks: list[dict[int, mot.Track]]
    """Tracks with enough boxes, of each recording."""

    @property
    def num_tracks(self) -> int:
        return sum(map(len, self.tracks))

    @property
    def num_boxes(self) -> int:
        return sum(
            len(track.frames) for tracks in self.tracks for track in tracks.values()
        )

    def find(self, text: str) -> tuple[int, int] | None:
        """Finds the recording and id of the track CAMERA:TRACK.

        CAMERA is the name of a recording, or a camera if only one of its videos has the
        track. Returns None for an unknown camera.

        Raises:
            UserError: the camera has no such track, or several of its videos have it.
        """
        camera, _, number = text.rpartition(":")
        candidates = [i for i, r in enumerate(self.recordings) if r.name == camera]
        candidates = candidates or [
            i for i, r in enumerate(self.recordings) if r.camera == camera
        ]
        if not candidates:
            return None
        is_id = number.isdecimal()
        with_track = [i for i in candidates if is_id and int(number) in self.tracks[i]]
        if not with_track:
            raise UserError(
                f"{text}: camera {camera} has no track {number} of at least "
                f"{self.settings.min_frames} boxes."
            )
        if len(with_track) > 1:
            names = " or ".join(
                f"{self.recordings[i].name}:{number}" for i in with_track
            )
            raise UserError(f"{text} is in several videos: say {names}.")
        return with_track[0], int(number)


def read(
    recordings: Sequence[Recording],
    settings: Settings,
    report: Callable[[str], None] = print,
) -> Plan:
    """Reads the tracks of every recording.

    Args:
        recordings: the videos and their track files.
        settings: the minimum length of tracks.
        report: called with a line for everything that is left out.

    Raises:
        UserError: a file cannot be used, or no track is long enough.
    """
    contents, tracks = [], []
    for recording in recordings:
        content = mot.read_tracks(
            recording.tracks,
            first_frame=recording.first_frame,
            classes=recording.classes,
        )
        for line in content.warnings():
            report(f"{recording.tracks}: {line}")
        long_tracks = {
            track_id: track
            for track_id, track in content.by_id.items()
            if len(track.frames) >= settings.min_frames
        }
        if num_short := len(content.by_id) - len(long_tracks):
            report(
                f"{recording.tracks}: {num_short} of {len(content.by_id)} tracks "
                f"have fewer than {settings.min_frames} boxes and are left out "
                "(--min_frames)"
            )
        contents.append(content)
        tracks.append(long_tracks)
    plan = Plan(recordings, settings, contents, tracks)
    if not plan.num_tracks:
        raise UserError(
            f"No track has {settings.min_frames} boxes; a lower --min_frames may help."
        )
    return plan
