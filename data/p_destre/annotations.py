"""Reads P-DESTRE's annotations: the boxes of persons in the videos of a UAV.

Source: Kumar et al., "The P-DESTRE: A Fully Annotated Dataset for Pedestrian Detection,
Tracking, Re-Identification and Search from Aerial Devices", arXiv:2004.02782.

The files were not at hand when this was written; public programs that read them agree
on this format. Each video has a text file with a line for each box. Its fields, with
commas between them, are: frame (from 1), id (-1 for persons without identity), two
coordinates of a corner, two numbers of the size, then fields that are not used here
(confidence, three without meaning, attributes).

The programs disagree on the size: two read it as height, width (as the dataset's
description has it), two as width, height. `width_first` decides from the boxes.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

from data.sources import checks, image_files
from data.videos import mot
from reid_jax.errors import UserError

VIDEOS, ANNOTATIONS = "videos", "annotation"
NOBODY = (-1, 0)
"""Ids of persons without identity."""


@dataclasses.dataclass(frozen=True)
class Video:
    """A video: its file, its annotation file (for messages), and its tracks by id.

    The line numbers of the tracks are those of the annotation file.
    """

    path: pathlib.Path
    annotation: str
    tracks: dict[int, mot.Track]


def read_videos(folder: pathlib.Path) -> tuple[dict[str, Video], list[str]]:
    """Reads the videos, sorted by name, and warnings about what is not used.

    These are left out, with a warning by file and line: lines that are no box, boxes of
    zero size, and second boxes of an id in a frame. Persons without identity are left
    out and only counted. Where one of the files has a frame 0, all count frames from 0.

    Raises:
        SourceError: lists folders that are missing, annotations without a video, files
            without a box, and ids that are too large.
    """
    problems = [
        f"{name}: missing folder"
        for name in (VIDEOS, ANNOTATIONS)
        if not (folder / name).is_dir()
    ]
    videos = _visible_files(folder / VIDEOS, ".mp4")
    annotations = _visible_files(folder / ANNOTATIONS, ".txt")
    for paths in (videos, annotations):
        problems += [
            f"{path.parent.name}/{path.name}: {first.name} has that name already"
            for first, path in itertools.pairwise(sorted(paths, key=lambda p: p.stem))
            if first.stem == path.stem
        ]
    files = {path.stem: path for path in videos}
    parsed, warnings, num_anonymous = {}, [], 0
    for path, tracks in _read_tracks(annotations):
        place = f"{ANNOTATIONS}/{path.name}"
        if path.stem not in files:
            problems.append(f"{place}: there is no {VIDEOS}/{path.stem}.MP4")
        parsed[path.stem] = {}
        if isinstance(tracks, UserError):
            problems.append(str(tracks).replace(str(path), place, 1))
            continue
        problems += [
            f"{place}: id {track_id} is above {image_files.LARGEST}"
            for track_id in tracks.by_id
            if track_id > image_files.LARGEST
        ]
        parsed[path.stem] = tracks.by_id
        warnings += [f"{place}: {each}" for each in tracks.left_out if each.is_bad]
        num_anonymous += sum(len(x.lines) for x in tracks.left_out if not x.is_bad)
    warnings += [
        f"{VIDEOS}/{path.name}: not used, there is no {ANNOTATIONS}/{name}.txt"
        for name, path in files.items()
        if name not in parsed
    ]
    if not parsed and not problems:
        problems.append(f"{ANNOTATIONS}: no .txt in it")
    if problems:
        raise checks.SourceError("P-DESTRE", folder, problems)
    if num_anonymous:
        text = "boxes of persons without identity left out"
        warnings.insert(0, f"{num_anonymous:,} {text}")
    order = [0, 1, 2, 3] if width_first(parsed.values()) else [0, 1, 3, 2]
    return {
        name: Video(
            files[name],
            f"{ANNOTATIONS}/{name}.txt",
            {
                pid: dataclasses.replace(track, boxes=track.boxes[:, order])
                for pid, track in parsed[name].items()
            },
        )
        for name in sorted(parsed)
    }, warnings


def _read_tracks(
    paths: list[pathlib.Path],
) -> list[tuple[pathlib.Path, mot.Tracks | UserError]]:
    """Reads the tracks of each file, or its error.

    All files count frames from 1, or all from 0.
    """
    for first_frame in (1, 0):
        results: list = []
        for path in paths:
            try:
                tracks = mot.read_tracks(path, first_frame=first_frame, nobody=NOBODY)
                results.append((path, tracks))
            except mot.CountsFromZeroError:
                break
            except UserError as error:
                results.append((path, error))
        else:
            break
    return results


def width_first(videos) -> bool:
    """Whether the first number of a box's size is its width.

    People are upright: it is, if most boxes of all `videos` (dicts of tracks) are then
    higher than wide.
    """
    boxes = [track.boxes for tracks in videos for track in tracks.values()]
    if not boxes:
        return True
    first, second = np.concatenate(boxes)[:, 2:].T
    return bool(np.mean(first < second) >= np.mean(first > second))


def _visible_files(folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """The files with this suffix, sorted, without hidden ones.

    macOS leaves such files in archives.
    """
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == suffix
        and not path.name.startswith(".")
        and path.is_file()
    )
