"""The tracks of all recordings, read before anything long begins."""

import dataclasses
from collections.abc import Callable, Sequence

from data.videos import mot
from reid_jax.errors import UserError
from reid_jax.footage.cameras import Recording


@dataclasses.dataclass(frozen=True)
class Settings:
    """Which boxes are embedded."""

    min_frames: int = 8
    """Tracks with fewer boxes are not embedded."""
    every: int = 1
    """Of a track's boxes, each such one is embedded."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be embedded."""

    recordings: Sequence[Recording]
    settings: Settings
    files: list[mot.Tracks]
    """What each recording's file holds."""
    tracks: list[dict[int, mot.Track]]
    """Of each recording: the tracks with enough boxes."""

    @property
    def num_tracks(self) -> int:
        return sum(map(len, self.tracks))

    @property
    def num_boxes(self) -> int:
        return sum(len(t.frames) for some in self.tracks for t in some.values())

    def find(self, text: str) -> tuple[int, int] | None:
        """Recording and id of the track CAMERA:TRACK; None for an unknown camera.

        CAMERA is the name of a recording, or a camera one of whose videos has it.
        Raises UserError where it has no such track, or several.
        """
        camera, _, number = text.rpartition(":")
        named = [i for i, r in enumerate(self.recordings) if r.name == camera]
        named = named or [
            i for i, r in enumerate(self.recordings) if r.camera == camera
        ]
        if not named:
            return None
        is_id = number.isdecimal()
        found = [i for i in named if is_id and int(number) in self.tracks[i]]
        if not found:
            raise UserError(
                f"{text}: camera {camera} has no track {number} of at least "
                f"{self.settings.min_frames} boxes."
            )
        if len(found) > 1:
            several = " or ".join(f"{self.recordings[i].name}:{number}" for i in found)
            raise UserError(f"{text} is in several videos: say {several}.")
        return found[0], int(number)


def read(
    recordings: Sequence[Recording],
    settings: Settings,
    report: Callable[[str], None] = print,
) -> Plan:
    """Reads the tracks of every recording; `report` gets a line for what is left out.

    Raises UserError for a file that cannot be used, and where no track is long enough.
    """
    contents, tracks = [], []
    for recording in recordings:
        found = mot.read_tracks(
            recording.tracks,
            first_frame=recording.first_frame,
            classes=recording.classes,
        )
        for line in found.warnings():
            report(f"{recording.tracks}: {line}")
        long = {
            track_id: track
            for track_id, track in found.by_id.items()
            if len(track.frames) >= settings.min_frames
        }
        if short := len(found.by_id) - len(long):
            report(
                f"{recording.tracks}: {short} of {len(found.by_id)} tracks have fewer "
                f"than {settings.min_frames} boxes and are left out (--min_frames)"
            )
        contents.append(found)
        tracks.append(long)
    plan = Plan(recordings, settings, contents, tracks)
    if not plan.num_tracks:
        raise UserError(
            f"No track has {settings.min_frames} boxes; a lower --min_frames may help."
        )
    return plan
