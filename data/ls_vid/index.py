"""Reads LS-VID as published: its lists, checked against the files, and its splits.

Source: Li et al., "Global-Local Temporal Representations For Video Person
Re-Identification", ICCV 2019 (arXiv:1908.10049). The files were not at hand when this
was written. Public programs that read them show that

- a line of a list is the prefix of its frames' paths, then the person;
- `query` holds rows of the test list, from 1;
- the camera, 1 to 15, is the third field between the `_` of a frame's name.

Not verified: what the other fields mean, and so whether frames are missing; whether
training and test persons share one numbering. Cameras written as `c3`, as some
descriptions have them, are read too. The validation persons (200 of 3,772) are not
used.
"""

import pathlib
import re
from collections import Counter
from collections.abc import Iterator

import numpy as np

from data.ls_vid import frame_lists
from data.ls_vid.frame_lists import Line
from data.sources import checks, image_files
from data.sources.image_files import FileTracklet
from data.sources.matlab import read_matrix

LAYOUT = """\
LS-VID comes from its authors. DIR then holds
  list_sequence/list_seq_train.txt  list_sequence/list_seq_test.txt
  test/data/info_test.mat           its matrix `query` says which tracklets are queries
  the frames: a line of a list is the beginning of their paths, then the person
A frame's camera is the third field of its name, between _ and _."""

NUM_CAMERAS = 15

_QUERY = pathlib.PurePath("test/data/info_test.mat")


def read_splits(folder: pathlib.Path) -> image_files.Splits:
    """The tracklets of `train`, `query` and `gallery`, in the order of the lists.

    `gallery` has the test tracklets that are no queries. LS-VID's gallery has the
    queries, too; the protocol "official" adds them when it scores. Opens images only
    where there is a problem, to report all damaged ones with it.

    Raises:
        SourceError: lists what is missing, misnamed or contradicts the lists.
    """
    folder = pathlib.Path(folder)
    problems: list[str] = []
    lists = {
        part: frame_lists.read(folder, f"list_sequence/list_seq_{part}.txt", problems)
        for part in ("train", "test")
    }
    query = read_matrix(folder / _QUERY, "query", problems)
    lines = [line for part in lists.values() for line in part]
    frames = frame_lists.find_frames(folder, [line.prefix for line in lines])
    tracklets = {
        part: [_tracklet(line, frames[line.prefix], problems) for line in part_lines]
        for part, part_lines in lists.items()
    }
    query = np.zeros(0, int) if query is None else query.ravel() - 1
    problems += _query_problems(query, lists["test"])
    if problems:
        images = dict.fromkeys(image_files.all_images(tracklets.values()))
        problems += checks.damaged_images(folder, images)
        raise checks.SourceError("LS-VID", folder, problems)
    is_query = set(query.tolist())
    test = tracklets["test"]
    return {
        "train": tracklets["train"],
        "query": [test[row] for row in query.tolist()],
        "gallery": [test[row] for row in range(len(test)) if row not in is_query],
    }


def _tracklet(line: Line, images: list[str], problems: list[str]) -> FileTracklet:
    """The tracklet of a line; problems of its frames go to `problems`."""
    if not images:
        problems.append(f"{line.place}: no frame begins with {line.prefix!r}")
    if line.pid < 1:
        problems.append(f"{line.place}: {line.pid} is no person")
    cameras = {}
    for image in images:
        cameras.setdefault(_camera(image), image)
    for camera, image in cameras.items():
        if camera is None:
            problems.append(
                f"{image}: its third field is no camera from 1 to {NUM_CAMERAS}"
            )
    valid_cameras = sorted(camera for camera in cameras if camera is not None)
    if len(valid_cameras) > 1:
        numbers = ", ".join(map(str, valid_cameras))
        problems.append(f"{line.place}: its frames are of several cameras: {numbers}")
    camid = valid_cameras[0] - 1 if valid_cameras else 0
    return FileTracklet(line.prefix.rstrip("_/"), line.pid, camid, images)


def _camera(image: str) -> int | None:
    """The camera in an image's name, from 1; None where there is none."""
    fields = image.rpartition("/")[2].split("_")
    match = re.fullmatch(r"c?0*([1-9][0-9]?)", fields[2]) if len(fields) > 3 else None
    camera = int(match[1]) if match else 0
    return camera if 1 <= camera <= NUM_CAMERAS else None


def _query_problems(query: np.ndarray, test: list[Line]) -> Iterator[str]:
    """Yields queries (rows of the test list, from 0) that do not exist, or repeat."""
    if not test:
        return
    for row, times in Counter(query.tolist()).items():
        place = f"{_QUERY}: row {row + 1} of list_seq_test.txt"
        if not 0 <= row < len(test):
            yield f"{place} does not exist: it has 1 to {len(test)}"
        elif times > 1:
            yield f"{place} is listed {times} times"
    if len(set(query.tolist())) == len(test):
        yield f"{_QUERY}: all test tracklets are queries, so that no gallery is left"
