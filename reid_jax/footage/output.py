"""Writes the files of a link or a search: all of them, or none."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator

import numpy as np

from data.videos import track_lines
from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.tracks import Plan

_RECORD = ".footage.json"
"""File with the names of the files written last; the next call replaces them all."""

SEEN_AT = (
    *("camera", "video", "track", "first_frame", "last_frame"),
    *("first_time", "last_time"),
)


def check(folder: pathlib.Path, names: Iterable[str], plan: Plan, others) -> None:
    """Checks that the files `names` can be written in `folder`.

    Args:
        folder: the folder to write to.
        names: names of the files.
        plan: the videos and tracks that are read.
        others: paths of other files that are read; None is skipped.

    Raises:
        UserError: a file to write is also read, or the folder is a file or cannot be
            made.
    """
    input_paths = {pathlib.Path(path).resolve() for path in others if path is not None}
    for recording in plan.recordings:
        input_paths |= {recording.video.resolve(), recording.tracks.resolve()}
    for name in names:
        if (folder / name).resolve() in input_paths:
            raise UserError(
                f"--out={folder}: {name} in it is a file that is read; choose another "
                "folder."
            )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder} is a file; a folder is needed.")
    existing_folder = next(
        path
        for path in (folder.absolute(), *folder.absolute().parents)
        if path.exists()
    )
    if not (existing_folder.is_dir() and os.access(existing_folder, os.W_OK)):
        raise UserError(f"--out={folder}: nothing can be written in {existing_folder}.")


@contextlib.contextmanager
def together(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary folder whose files move to `folder` after the block.

    Files that the last call wrote, and this one does not, are deleted. If the block
    fails, `folder` is unchanged.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished_") as text:
            unfinished = pathlib.Path(text)
            yield unfinished
            names = sorted(path.name for path in unfinished.iterdir())
            files.write_json(unfinished / _RECORD, names)
            previous_names = _written_before(folder)
            for name in [*names, _RECORD]:
                (unfinished / name).replace(folder / name)
            for name in set(previous_names) - set(names):
                (folder / name).unlink(missing_ok=True)
    except BaseException:
        if is_new:
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        raise


def _written_before(folder: pathlib.Path) -> list[str]:
    try:
        names = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        return [name for name in names if pathlib.Path(name).name == name]
    except (OSError, ValueError, TypeError):  # missing or damaged
        return []


def write_embeddings(path: pathlib.Path, seen: Appearances) -> None:
    """Writes embeddings [N, D] with camera, video, track, frames and times [N]."""
    recordings = [seen.of(number) for number in range(len(seen))]
    frames = [seen.first_and_last(number) for number in range(len(seen))]
    np.savez(
        path,
        embeddings=seen.embeddings,
        camera=np.array([recording.camera for recording in recordings], str),
        video=np.array([recording.video_name for recording in recordings], str),
        track=seen.track,
        first_frame=np.array([first for first, _ in frames], int),
        last_frame=np.array([last for _, last in frames], int),
        num_boxes=np.array([len(numbers) for numbers in seen.frames], int),
        seconds=seen.seconds,
        start=np.array([recording.start or "" for recording in recordings]).astype(str),
    )


def seen_at(seen: Appearances, number: int) -> list:
    """Returns the values of the columns `SEEN_AT` for a track."""
    recording = seen.of(number)
    return [
        recording.camera,
        recording.video_name,
        int(seen.track[number]),
        *seen.first_and_last(number),
        *map(recording.time, seen.seconds[number].tolist()),
    ]


def write_tracks(
    folder: pathlib.Path, plan: Plan, seen: Appearances, ids: np.ndarray
) -> None:
    """Writes `<name>.txt` for each recording: its track file with `ids` [N] as ids.

    Tracks that were not embedded get new ids after those of all persons. Lines whose
    boxes were skipped when the file was read (cars, detections without a track, …) are
    omitted. All other lines and columns stay as they were.
    """
    next_id = int(ids.max(initial=0)) + 1
    numbers = seen.numbers()
    for i, (recording, content) in enumerate(
        zip(plan.recordings, plan.files, strict=True)
    ):
        new_ids = {}
        for track_id, track in content.by_id.items():
            if (i, track_id) in numbers:
                new_id = int(ids[numbers[i, track_id]])
            else:
                new_id, next_id = next_id, next_id + 1
            new_ids |= dict.fromkeys(track.lines.tolist(), new_id)
        dropped = {line for group in content.left_out for line in group.lines}
        text = track_lines.with_ids(recording.tracks, new_ids, dropped)
        (folder / f"{recording.name}.txt").write_bytes(text)
