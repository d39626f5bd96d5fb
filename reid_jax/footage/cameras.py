"""Reads the list of cameras: the video and the tracks of each camera, and when.

The list is a CSV file with a line for each video, with commas or semicolons. The
columns `camera,video,tracks` are required. The columns `start`, `first_frame`,
`classes`, `fps` and `note` (for your remarks) are optional. Paths are relative to the
file.
"""

import argparse
import csv
import dataclasses
import datetime
import os
import pathlib
from collections import Counter

from data.sources import checks
from data.videos import pictures
from reid_jax.cli import arguments
from reid_jax.errors import UserError

NEEDED = ("camera", "video", "tracks")
OPTIONAL = ("start", "first_frame", "classes", "fps")


@dataclasses.dataclass(frozen=True)
class Recording:
    """A video of a camera, and the file of its tracks."""

    camera: str
    name: str
    """The camera's name, followed by a number if the camera has several videos."""
    video: pathlib.Path
    tracks: pathlib.Path
    start: datetime.datetime | None = None
    """Clock time of the first frame."""
    first_frame: int = 1
    """The number of the first frame in the file of tracks."""
    classes: frozenset[int] | None = None
    """Classes in column 8 of the tracks that are persons; see `mot.read_tracks`."""
    fps: float | None = None
    """Frames per second, for a folder of pictures, which has no clock."""

    @property
    def video_name(self) -> str:
        """The name of the video file, or of the folder of pictures."""
        video = self.video
        is_file = not (video.is_dir() or pictures.is_pattern(video))
        return video.name if is_file else pictures.default_name(video)

    def time(self, seconds: float) -> str:
        """Formats a time in the video: clock time, or m:ss from the start.

        `seconds` count from the first frame. If they are unknown (nan), the text is
        empty.
        """
        if seconds != seconds:
            return ""
        if self.start is not None:
            clock = self.start + datetime.timedelta(seconds=seconds)
            return clock.isoformat(sep=" ", timespec="seconds")
        minutes, rest = divmod(int(seconds), 60)
        return f"{minutes}:{rest:02d}"


def read(path: str | os.PathLike) -> list[Recording]:
    """Reads the recordings of a list of cameras, in its order.

    Raises:
        UserError: lists every line that cannot be used, and missing videos and tracks.
    """
    path = pathlib.Path(path)
    recordings, problems = [], []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        first_line = file.readline()
        file.seek(0)
        separator = ";" if ";" in first_line and "," not in first_line else ","
        reader = csv.DictReader(file, strict=True, delimiter=separator)
        try:
            header = [name.strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = header
            _check_header(path, header)
            for row in reader:
                if not any(map(str.strip, filter(None, row.values()))):
                    continue  # a spreadsheet's empty line
                line = f"line {reader.line_num}"
                try:
                    if None in row or None in row.values():
                        raise UserError(f"not {len(header)} fields")
                    fields = {name: text.strip() for name, text in row.items()}
                    recordings.append(_recording(fields, path.parent))
                except UserError as error:
                    problems.append(f"{line}: {error}")
        except csv.Error as error:
            raise UserError(f"{path} line {reader.line_num}: {error}.") from None
    if not recordings and not problems:
        problems.append("no camera in it")
    problems += _contradictions(recordings)
    recordings = _named(recordings)
    names = Counter(recording.name for recording in recordings)
    problems += [
        f"{name} would be the name of {num_videos} videos: give their cameras other "
        "names"
        for name, num_videos in names.items()
        if num_videos > 1
    ]
    if problems:
        raise UserError(checks.listed(str(path), problems))
    return recordings


def _named(recordings: list[Recording]) -> list[Recording]:
    """Names several videos of one camera hall_1, hall_2, …"""
    num_videos, num_seen = (
        Counter(recording.camera for recording in recordings),
        Counter(),
    )
    named = []
    for recording in recordings:
        num_seen[recording.camera] += 1
        is_only = num_videos[recording.camera] == 1
        name = (
            recording.camera
            if is_only
            else f"{recording.camera}_{num_seen[recording.camera]}"
        )
        named.append(dataclasses.replace(recording, name=name))
    return named


def single(
    video: str | os.PathLike,
    tracks: str | os.PathLike,
    *,
    first_frame: int = 1,
    classes: frozenset[int] | None = None,
    fps: float | None = None,
) -> list[Recording]:
    """Makes a list of one recording; the camera is named after the video.

    Raises:
        UserError: the video or the tracks are missing, or a number is out of range.
    """
    video, tracks = pathlib.Path(video), pathlib.Path(tracks)
    for name, path in (("video", video), ("tracks", tracks)):
        if problem := _missing(name, path):
            raise UserError(problem)
    first_frame = _number(str(first_frame), "first_frame", int)
    fps = fps if fps is None else _number(str(fps), "fps", float)
    camera = pictures.default_name(video)
    return [Recording(camera, camera, video, tracks, None, first_frame, classes, fps)]


def _check_header(path: pathlib.Path, header: list[str]) -> None:
    columns = (*NEEDED, *OPTIONAL, "note")
    if sorted(header) != sorted(set(header)) or not set(NEEDED) <= set(header):
        raise UserError(
            f"{path} line 1: the header has to name camera,video,tracks, each once."
        )
    if unknown := [name for name in header if name not in columns]:
        raise UserError(
            f"{path} line 1: unknown columns {', '.join(unknown)}; known: "
            f"{', '.join(columns)}."
        )


def _recording(fields: dict[str, str], folder: pathlib.Path) -> Recording:
    for name in NEEDED:
        if not fields[name]:
            raise UserError(f"no {name}")
    camera = fields["camera"]
    if camera.startswith(".") or any(letter in camera for letter in "/\\:\0"):
        raise UserError(f"camera {camera!r}: a name without / \\ : and leading dot")
    paths = {name: folder / fields[name] for name in ("video", "tracks")}
    for name, path in paths.items():
        if problem := _missing(name, path):
            raise UserError(problem)
    return Recording(
        camera,
        camera,
        **paths,
        start=_start(fields.get("start", "")),
        first_frame=_number(fields.get("first_frame") or "1", "first_frame", int),
        classes=_classes(fields.get("classes", "")),
        fps=_number(text, "fps", float) if (text := fields.get("fps")) else None,
    )


def _missing(name: str, path: pathlib.Path) -> str | None:
    if path.exists() or (name == "video" and pictures.is_pattern(path)):
        return None
    return f"{name} {path} is not there"


def _start(text: str) -> datetime.datetime | None:
    if not text:
        return None
    try:
        start = datetime.datetime.fromisoformat(text)
        # Fails now if a video's end would be out of range.
        start + datetime.timedelta(days=1000)
        return start
    except (ValueError, OverflowError):
        raise UserError(
            f"start {text!r} is no date and time, as 2026-11-29 08:30:00"
        ) from None


def _classes(text: str) -> frozenset[int] | None:
    try:
        return arguments.whole_numbers(text.replace(" ", ",")) if text else None
    except argparse.ArgumentTypeError as error:
        raise UserError(f"classes {error}") from None


def _number(text: str, name: str, number_type: type) -> float | int:
    try:
        number = number_type(text)
    except ValueError:
        number = None
    if number is None or not (0 < number < 1e4 or (number_type is int and number == 0)):
        least = "0 or more" if number_type is int else "above 0"
        raise UserError(f"{name} {text!r} is not a number {least}, below 10,000")
    return number


def _contradictions(recordings: list[Recording]) -> list[str]:
    """Lists problems that concern several lines."""
    problems = []
    counts = Counter(
        (recording.camera, recording.video.resolve()) for recording in recordings
    )
    problems += [
        f"camera {camera} has {video} {count} times"
        for (camera, video), count in counts.items()
        if count > 1
    ]
    starts = [recording.start for recording in recordings]
    if None in starts and any(starts):
        problems.append("start: give it in every line, or in none")
    elif len({start is None or start.tzinfo is None for start in starts}) > 1:
        problems.append("start: give a time zone in every line, or in none")
    return problems
