"""Embeddings of recordings that are kept beside a run, and used again.

A file for each video and its tracks, `<workdir>/footage/<number>.npz`. It holds three
pictures of each track too, for the pages: pictures of people. It is replaced when
anything it depends on has changed.
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
"""Grows when crops or clips are made in another way."""


@dataclasses.dataclass(frozen=True, repr=False)
class Part:
    """The tracks of one recording that have a box in the picture."""

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
    """Keeps a recording's tracks in `folder`; returns why it could not, or None.

    Without a folder nothing is kept.
    """
    if folder is None:
        return None
    every = [picture for several in part.pictures for picture in several]
    arrays = {
        "key": np.array(key(run, recording, settings)),
        "embeddings": part.embeddings,
        "track": part.track,
        "seconds": part.seconds,
        "num_pictures": np.array([len(several) for several in part.pictures], int),
        "lengths": np.array([len(picture) for picture in every], int),
        "jpeg": np.frombuffer(b"".join(every), np.uint8),
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
    """What `save` kept; None where it is missing, damaged, or something has changed."""
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
            every = [content[a:b] for a, b in zip(starts, ends, strict=True)]
            ends = np.cumsum(arrays["num_pictures"])
            starts = ends - arrays["num_pictures"]
            return Part(
                arrays["embeddings"],
                arrays["track"],
                arrays["seconds"],
                [every[a:b] for a, b in zip(starts, ends, strict=True)],
                arrays["warnings"].tolist(),
            )
    except Exception:  # another version's, or damaged: whatever that leads NumPy to
        return None


def _path(folder: pathlib.Path, recording: Recording) -> pathlib.Path:
    """The file of a video and its tracks, wherever they are named from."""
    paths = pictures.whole_path(recording.video), str(recording.tracks.resolve())
    return folder / f"{hashlib.sha256(repr(paths).encode()).hexdigest()[:16]}.npz"


def key(run: Run, recording: Recording, settings: Settings) -> str:
    """All that a recording's embeddings depend on, as one text.

    A folder or pattern of pictures is known by the names, sizes and times of them all.
    """
    video = recording.video
    is_file = not (video.is_dir() or pictures.is_pattern(video))
    shown = [video] if is_file else pictures.numbered(video).values()
    stats = [(str(path.resolve()), path.stat()) for path in shown]
    depends = {
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
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
