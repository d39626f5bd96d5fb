"""Tracks of a file in MOTChallenge format: which boxes each id has in which frames.

`track_lines` says what the lines look like, `cutting` cuts the boxes out of a video.
"""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np

from data.sources import checks
from data.videos import track_lines
from data.videos.track_lines import Line
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Track:
    """The boxes of one id in order of time: frames [N] and boxes [N, 4]."""

    frames: np.ndarray
    """Numbers of the video's frames, counted from 1."""

    boxes: np.ndarray
    """Left, top, width, height in pixels; float64."""

    lines: np.ndarray
    """Lines of the file that the boxes are in, counted from 1."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Lines of a file whose boxes are left out, all for one reason."""

    reason: str
    lines: tuple[int, ...]
    """Their numbers, counted from 1."""

    example: str = ""
    """The text of the first of them."""

    is_bad: bool = True
    """False where it is as it should be: boxes of cars in a ground truth."""

    def __str__(self) -> str:
        """`3 boxes left out (empty box): lines 4, 7, 9, the first is '4,1,…'`."""
        boxes, lines = ("box", "line") if len(self.lines) == 1 else ("boxes", "lines")
        text = f"{len(self.lines):,} {boxes} left out ({self.reason}): {lines} "
        text += checks.some(self.lines)
        return text + (f", the first is {self.example[:80]!r}" if self.example else "")


@dataclasses.dataclass(frozen=True)
class Tracks:
    """What a file holds: its tracks by id, in order of the ids, and the rest."""

    by_id: dict[int, Track]
    left_out: tuple[LeftOut, ...]
    first_frame: int
    """The number that the file gives to the video's first frame."""

    def warnings(self) -> list[str]:
        """What is left out, a text for each reason."""
        return list(map(str, self.left_out))


class CountsFromZeroError(UserError):
    """A file with a frame 0, read as one that counts from 1."""


def read_tracks(
    path: str | os.PathLike,
    *,
    first_frame: int = 1,
    classes: Collection[int] | None = None,
    nobody: Collection[int] = (),
) -> Tracks:
    """The tracks of a file, their frames renumbered to count from 1.

    `first_frame` is the number that the file gives to the video's first frame. Boxes of
    other `classes` (column 8) are left out. By default boxes of all classes are kept,
    but of a ground truth of MOT16, MOT17 or MOT20 only pedestrians (1) with the flag 1.
    A file is taken for one where most lines have a flag, a class and a visibility
    (`track_lines._flag`). With `classes`, the flag is not looked at. Boxes whose id is
    in `nobody` are left out.
    A line that cannot be used is left out: a number of the six is missing or not
    finite, the id is not a whole number from 0 (detections have -1: they are not
    tracks yet), the box is empty, or its id was in that frame before.

    Raises:
        CountsFromZeroError: there is a frame 0, and `first_frame` is 1.
        UserError: the file is no text, its header names another order of columns, most
            of its lines cannot be used, or no track is left.
    """
    lines = track_lines.read(path, nobody=nobody)
    if first_frame == 1 and any(not x.problem and x.frame == 0 for x in lines):
        raise CountsFromZeroError(
            f"{path} counts frames from 0, not from 1: say so with --first_frame=0."
        )
    other_class = _class_filter(path, lines, classes)
    rows: dict[int, dict[int, Line]] = defaultdict(dict)
    groups: dict[tuple[str, bool], list[Line]] = defaultdict(list)
    for line in lines:
        if line.problem:
            groups[line.problem, True].append(line)
        elif line.frame < first_frame:
            groups["before the first frame", True].append(line)
        elif line.track_id in nobody:
            groups["persons without identity", False].append(line)
        elif reason := other_class(line):
            groups[reason, False].append(line)
        elif rows[line.track_id].setdefault(line.frame, line) is not line:
            groups["the id is in that frame already", True].append(line)
    left_out = tuple(
        LeftOut(reason, tuple(line.number for line in group), group[0].text, is_bad)
        for (reason, is_bad), group in groups.items()
    )
    _check(path, len(lines), bool(rows), left_out)
    tracks = {
        track_id: _track(rows[track_id], first_frame) for track_id in sorted(rows)
    }
    return Tracks(tracks, left_out, first_frame)


def _class_filter(
    path: str | os.PathLike, lines: list[Line], classes: Collection[int] | None
) -> Callable[[Line], str | None]:
    """The function of a line that says why its class is not wanted, or None."""
    usable = [line for line in lines if not line.problem]
    if classes is not None:
        if usable and all(line.kind is None for line in usable):
            raise UserError(f"{path} has no classes in column 8: leave out --classes.")
        return lambda x: None if x.kind in classes else f"class {x.kind} in column 8"
    num_alike = sum(line.is_considered is not None for line in usable)
    if 2 * num_alike <= len(usable):
        return lambda line: None

    def of_ground_truth(line: Line) -> str | None:
        if line.is_considered is None:
            return "no flag, class and visibility"
        if line.kind != 1:
            return f"class {line.kind}, not 1 (pedestrian), in column 8"
        return None if line.is_considered else "flag 0 (not considered) in column 7"

    return of_ground_truth


def _check(
    path: str | os.PathLike, num: int, is_any: bool, left_out: Sequence[LeftOut]
) -> None:
    """Raises a UserError where most lines are bad, or none gave a box."""
    subject = f"{path} ({track_lines.FORMAT})"
    num_bad = sum(len(each.lines) for each in left_out if each.is_bad)
    if 2 * num_bad > num:
        subject += f": {num_bad} of {num} lines cannot be used"
    elif is_any:
        return
    else:
        subject += ": no tracks in it"
    raise UserError("\n  ".join([f"{subject}:", *map(str, left_out)]).strip(":") + ".")


def _track(lines: dict[int, Line], first_frame: int) -> Track:
    frames = sorted(lines)
    return Track(
        np.array(frames) - first_frame + 1,
        np.array([lines[frame].box for frame in frames]),
        np.array([lines[frame].number for frame in frames]),
    )
