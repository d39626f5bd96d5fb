"""P-DESTRE's annotations: the boxes of persons in the videos of a UAV.

Source: Kumar et al., "The P-DESTRE: A Fully Annotated Dataset for Pedestrian Detection,
Tracking, Re-Identification and Search from Aerial Devices", arXiv:2004.02782.

Verified against public programs that read them, not against the files themselves, which
were not at hand: one text file for each video; a line for each box, with commas; frame
(from 1), id (-1 for persons without identity), two numbers of a corner, two of a size,
then what is not used here: confidence, three of no meaning, attributes. Two programs
read the size as height, width (as the dataset's description has it) and two as width,
height: `width_first` decides from the boxes themselves.
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
    """One video: its file, and its tracks by id; their lines are of `annotation`."""

    path: pathlib.Path
    annotation: str
    tracks: dict[int, mot.Track]


def read_videos(folder: pathlib.Path) -> tuple[dict[str, Video], list[str]]:
    """The videos by name, sorted, and what of them is not used, by file and line.

    Lines that are no box, boxes of zero size, and second boxes of an id in a frame are
    left out; so are persons without identity, which are only counted. Where one of the
    files has a frame 0, all of them count frames from 0.

    Raises:
        SourceError: lists folders that are missing, annotations without a video, files
            that hold no box, and ids that are too large.
    """
    problems = [
        f"{name}: missing folder"
        for name in (VIDEOS, ANNOTATIONS)
        if not (folder / name).is_dir()
    ]
    videos = _visible(folder / VIDEOS, ".mp4")
    annotations = _visible(folder / ANNOTATIONS, ".txt")
    for paths in (videos, annotations):
        problems += [
            f"{path.parent.name}/{path.name}: {first.name} has that name already"
            for first, path in itertools.pairwise(sorted(paths, key=lambda p: p.stem))
            if first.stem == path.stem
        ]
    files = {path.stem: path for path in videos}
    parsed, warnings, num_nobody = {}, [], 0
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
        num_nobody += sum(len(x.lines) for x in tracks.left_out if not x.is_bad)
    warnings += [
        f"{VIDEOS}/{path.name}: not used, there is no {ANNOTATIONS}/{name}.txt"
        for name, path in files.items()
        if name not in parsed
    ]
    if not parsed and not problems:
        problems.append(f"{ANNOTATIONS}: no .txt in it")
    if problems:
        raise checks.SourceError("P-DESTRE", folder, problems)
    if num_nobody:
        what = "boxes of persons without identity left out"
        warnings.insert(0, f"{num_nobody:,} {what}")
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
    """The tracks of each file, or why it has none; all files count frames alike."""
    for first_frame in (1, 0):
        found: list = []
        for path in paths:
            try:
                tracks = mot.read_tracks(path, first_frame=first_frame, nobody=NOBODY)
                found.append((path, tracks))
            except mot.CountsFromZeroError:
                break
            except UserError as error:
                found.append((path, error))
        else:
            break
    return found


def width_first(videos) -> bool:
    """Whether the first number of a box's size is its width: people are upright.

    That is, whether most boxes of all `videos`, dicts of tracks, are higher than wide
    when read like that.
    """
    boxes = [track.boxes for tracks in videos for track in tracks.values()]
    if not boxes:
        return True
    first, second = np.concatenate(boxes)[:, 2:].T
    return bool(np.mean(first < second) >= np.mean(first > second))


def _visible(folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """Files of a kind, sorted; without those hidden, which macOS leaves in archives."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() == suffix
        and not path.name.startswith(".")
        and path.is_file()
    )
