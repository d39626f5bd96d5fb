"""Stores the embeddings of recordings beside a run, and loads them again.

There is a file for each video and its tracks, `<workdir>/footage/<number>.npz`. It also
holds up to three pictures of each track for the pages: these are pictures of people.
The file is replaced if anything that it depends on has changed.
"""

import dataclasses
import hashlib
import json
import pathlib

import numpy as np

from data.videos import pictures
from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.footage.cameras import Recording
from reid_jax.footage.tracks import Settings
from reid_jax.runs.run import Run

_VERSION = 1
"""Increased when crops or clips are computed differently."""


@dataclasses.dataclass(frozen=True, repr=False)
class Part:
    """The embedded tracks of a recording: those that have a box in the picture."""

    embeddings: np.ndarray
    track: np.ndarray
    seconds: np.ndarray
    pictures: list[list[bytes]]
    warnings: list[str]


def save(
    folder: pathlib.Path | None,
    run: Run,
    recording: Recording,
    settings: Settings,
    part: Part,
) -> str | None:
    """Stores a recording's tracks in `folder`; without a folder, it does nothing.

    Returns:
        The reason if they cannot be stored, else None.
    """
    if folder is None:
        return None
    all_pictures = [
        picture for track_pictures in part.pictures for picture in track_pictures
    ]
    arrays = {
        "key": np.array(key(run, recording, settings)),
        "embeddings": part.embeddings,
        "track": part.track,
        "seconds": part.seconds,
        "num_pictures": np.array(
            [len(track_pictures) for track_pictures in part.pictures], int
        ),
        "lengths": np.array([len(picture) for picture in all_pictures], int),
        "jpeg": np.frombuffer(b"".join(all_pictures), np.uint8),
        "warnings": np.array(part.warnings, str),
    }
    try:
        with files.write_whole(_path(folder, recording)) as unfinished:
            np.savez(unfinished, **arrays)
    except (UserError, OSError) as error:
        return str(error)
    return None


def load(
    folder: pathlib.Path | None, run: Run, recording: Recording, settings: Settings
) -> Part | None:
    """Loads what `save` stored; None if it is missing, damaged or outdated."""
    if folder is None:
        return None
    try:
        path = _path(folder, recording)
        with path.open("rb") as file, np.load(file) as arrays:
            if str(arrays["key"]) != key(run, recording, settings):
                return None
            content = arrays["jpeg"].tobytes()
            ends = np.cumsum(arrays["lengths"])
            starts = ends - arrays["lengths"]
            all_pictures = [content[a:b] for a, b in zip(starts, ends, strict=True)]
            ends = np.cumsum(arrays["num_pictures"])
            starts = ends - arrays["num_pictures"]
            return Part(
                arrays["embeddings"],
                arrays["track"],
                arrays["seconds"],
                [all_pictures[a:b] for a, b in zip(starts, ends, strict=True)],
                arrays["warnings"].tolist(),
            )
    except Exception:  # NumPy raises anything on damaged files
        return None


def _path(folder: pathlib.Path, recording: Recording) -> pathlib.Path:
    """Returns the file of a video and its tracks, for any current folder."""
    paths = pictures.whole_path(recording.video), str(recording.tracks.resolve())
    return folder / f"{hashlib.sha256(repr(paths).encode()).hexdigest()[:16]}.npz"


def key(run: Run, recording: Recording, settings: Settings) -> str:
    """Returns a hash of everything that a recording's embeddings depend on.

    Videos and pictures enter with their names, sizes and modification times.
    """
    video = recording.video
    is_file = not (video.is_dir() or pictures.is_pattern(video))
    paths = [video] if is_file else pictures.numbered(video).values()
    stats = [(str(path.resolve()), path.stat()) for path in paths]
    dependencies = {
        "version": _VERSION,
        "run": run.pictures_key,
        "video": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        "tracks": hashlib.sha256(recording.tracks.read_bytes()).hexdigest(),
        "read as": [
            recording.first_frame,
            recording.classes and sorted(recording.classes),
            recording.fps,
        ],
        "settings": dataclasses.asdict(settings),
    }
    return hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()
