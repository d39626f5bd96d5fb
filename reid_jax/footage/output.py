"""What a link or a search leaves behind: tables, and the tracks with global ids."""

import csv
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from data.videos import mot, track_lines
from reid_jax import files
from reid_jax.footage.appearances import Appearances


def write_table(path: pathlib.Path, header: Sequence, rows: Iterable[Sequence]) -> None:
    """Writes a CSV file, whole or not at all."""
    with (
        files.write_whole(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_embeddings(path: pathlib.Path, seen: Appearances) -> None:
    """Writes embeddings [N, D] with camera, video, track, frames and times [N]."""
    recordings = [seen.recordings[number] for number in seen.recording]
    with files.write_whole(path) as unfinished:
        np.savez(
            unfinished,
            embeddings=seen.embeddings,
            camera=np.array([each.camera for each in recordings], str),
            video=np.array([str(each.video) for each in recordings], str),
            track=seen.track,
            first_frame=np.array([numbers[0] for numbers in seen.frames], int),
            last_frame=np.array([numbers[-1] for numbers in seen.frames], int),
            num_boxes=np.array([len(numbers) for numbers in seen.frames], int),
            seconds=seen.seconds,
            start=np.array([each.start or "" for each in recordings]).astype(str),
        )


def seen_at(seen: Appearances, number: int) -> list:
    """Camera, video, track, first and last frame, and their times, of a track."""
    recording = seen.recordings[seen.recording[number]]
    frames = seen.frames[number]
    shift = recording.first_frame - 1  # as its own file counts
    return [
        recording.camera,
        recording.video.name,
        int(seen.track[number]),
        int(frames[0]) + shift,
        int(frames[-1]) + shift,
        *map(recording.time, seen.seconds[number].tolist()),
    ]


SEEN_AT = (
    *("camera", "video", "track", "first_frame", "last_frame"),
    *("first_time", "last_time"),
)


def write_tracks(folder: pathlib.Path, seen: Appearances, ids: np.ndarray) -> list:
    """Writes the tracks of each recording again, with `ids` [N] in place of their own.

    Tracks that were not embedded get numbers after those of all persons. Every other
    column, and every line that is no track's, stays as it was. Returns the paths.
    """
    next_id = int(ids.max(initial=0)) + 1
    several = [each.camera for each in seen.recordings]
    paths = []
    for number, recording in enumerate(seen.recordings):
        name = recording.camera
        if several.count(name) > 1:
            name += f"_{several[:number].count(name) + 1}"
        mine = np.flatnonzero(seen.recording == number)
        new = dict(zip(seen.track[mine].tolist(), ids[mine].tolist(), strict=True))
        found = mot.read_tracks(
            recording.tracks,
            first_frame=recording.first_frame,
            classes=recording.classes,
        )
        for track_id in found.by_id:
            if track_id not in new:
                new[track_id], next_id = next_id, next_id + 1
        text = track_lines.with_ids(recording.tracks, _ids_of_lines(found, new))
        paths.append(folder / f"{name}.txt")
        files.write_text(paths[-1], text)
    return paths


def _ids_of_lines(found: mot.Tracks, new: dict[int, int]) -> dict[int, int]:
    """The new id of each line of the file that is a track's."""
    return {
        line: new[track_id]
        for track_id, track in found.by_id.items()
        for line in track.lines.tolist()
    }
