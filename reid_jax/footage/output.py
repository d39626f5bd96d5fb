"""What a link or a search leaves behind: all of its files together, or none."""

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
"""Names of the files that were written last, so that the next ones replace them all."""

SEEN_AT = (
    *("camera", "video", "track", "first_frame", "last_frame"),
    *("first_time", "last_time"),
)


def check(folder: pathlib.Path, names: Iterable[str], plan: Plan, others) -> None:
    """Raises a UserError where files `names` in `folder` cannot be written.

    That is where one of them is the video, the tracks or another file that is read
    (`others`), and where the folder is a file or cannot be made.
    """
    given = {pathlib.Path(path).resolve() for path in others if path is not None}
    for recording in plan.recordings:
        given |= {recording.video.resolve(), recording.tracks.resolve()}
    for name in names:
        if (folder / name).resolve() in given:
            raise UserError(
                f"--out={folder}: {name} in it is a file that is read; choose another "
                "folder."
            )
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder} is a file; a folder is needed.")
    above = next(
        path
        for path in (folder.absolute(), *folder.absolute().parents)
        if path.exists()
    )
    if not (above.is_dir() and os.access(above, os.W_OK)):
        raise UserError(f"--out={folder}: nothing can be written in {above}.")


@contextlib.contextmanager
def together(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a new folder whose files move to `folder` when the block is done.

    Files that were written like this before, and are not written again, go. A block
    that fails leaves `folder` as it was.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished_") as text:
            unfinished = pathlib.Path(text)
            yield unfinished
            names = sorted(path.name for path in unfinished.iterdir())
            files.write_json(unfinished / _RECORD, names)
            before = _written_before(folder)
            for name in [*names, _RECORD]:
                (unfinished / name).replace(folder / name)
            for name in set(before) - set(names):
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
    except (OSError, ValueError, TypeError):  # none, or damaged
        return []


def write_embeddings(path: pathlib.Path, seen: Appearances) -> None:
    """Writes embeddings [N, D] with camera, video, track, frames and times [N]."""
    recordings = [seen.of(number) for number in range(len(seen))]
    frames = [seen.first_and_last(number) for number in range(len(seen))]
    np.savez(
        path,
        embeddings=seen.embeddings,
        camera=np.array([each.camera for each in recordings], str),
        video=np.array([each.video_name for each in recordings], str),
        track=seen.track,
        first_frame=np.array([first for first, _ in frames], int),
        last_frame=np.array([last for _, last in frames], int),
        num_boxes=np.array([len(numbers) for numbers in seen.frames], int),
        seconds=seen.seconds,
        start=np.array([each.start or "" for each in recordings]).astype(str),
    )


def seen_at(seen: Appearances, number: int) -> list:
    """The columns `SEEN_AT` of a track."""
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
    """Writes `<name>.txt` of each recording: its tracks with `ids` [N] as their ids.

    Tracks that were not embedded get numbers after those of all persons. Lines whose
    boxes were left out when the file was read (cars, detections without a track, …)
    are left out here too. Every other column and line stays as it was.
    """
    next_id = int(ids.max(initial=0)) + 1
    numbers = seen.numbers()
    for i, (recording, found) in enumerate(
        zip(plan.recordings, plan.files, strict=True)
    ):
        of_lines = {}
        for track_id, track in found.by_id.items():
            if (i, track_id) in numbers:
                new = int(ids[numbers[i, track_id]])
            else:
                new, next_id = next_id, next_id + 1
            of_lines |= dict.fromkeys(track.lines.tolist(), new)
        dropped = {line for group in found.left_out for line in group.lines}
        content = track_lines.with_ids(recording.tracks, of_lines, dropped)
        (folder / f"{recording.name}.txt").write_bytes(content)
