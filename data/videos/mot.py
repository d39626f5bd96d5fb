"""Reads tracks in MOTChallenge format: the boxes of each id, frame by frame.

`track_lines` says what lines look like; `cutting` cuts the boxes out of a video.
"""

import dataclasses
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from data.sources import checks
from data.videos import track_lines
from data.videos.track_lines import Lines
from data.videos.track_numbers import ABSENT
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Track:
    """The N boxes of one id, in order of time."""

    frames: np.ndarray
    """Numbers of the video's frames [N], from 1."""

    boxes: np.ndarray
    """Left, top, width, height in pixels, float64 [N, 4]."""

    lines: np.ndarray
    """Lines of the file with these boxes [N], from 1."""


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """Lines of a file whose boxes are left out for the same reason."""

    reason: str
    lines: tuple[int, ...]
    """Numbers of the lines, from 1."""

    example: str = ""
    """Text of the first of the lines."""

    is_bad: bool = True
    """Whether they are errors. Boxes of cars in a ground truth are not."""

    def __str__(self) -> str:
        """`3 boxes left out (empty box): lines 4, 7, 9, the first is '4,1,…'`."""
        boxes, lines = ("box", "line") if len(self.lines) == 1 else ("boxes", "lines")
        text = f"{len(self.lines):,} {boxes} left out ({self.reason}): {lines} "
        text += checks.shortened(self.lines)
        return text + (f", the first is {self.example[:80]!r}" if self.example else "")


@dataclasses.dataclass(frozen=True)
class Tracks:
    """The tracks of a file, sorted by id, and what was left out."""

    by_id: dict[int, Track]
    left_out: tuple[LeftOut, ...]
    first_frame: int
    """Number that the file gives to the video's first frame."""

    def warnings(self) -> list[str]:
        """A text for each reason why boxes were left out."""
        return list(map(str, self.left_out))


class CountsFromZeroError(UserError):
    """A file has a frame 0 but was read as counting from 1."""


def read_tracks(
    path: str | os.PathLike,
    *,
    first_frame: int = 1,
    classes: Collection[int] | None = None,
    nobody: Collection[int] = (),
) -> Tracks:
    """Reads the tracks of a file; their frames are renumbered to count from 1.

    A line that cannot be used is left out: one of its six numbers is missing or not
    finite, the id is not a whole number from 0 (detections have -1: they are not tracks
    yet), the box is empty, or the id has an earlier box in that frame.

    Args:
        path: The file.
        first_frame: Number that the file gives to the video's first frame.
        classes: Classes (column 8) of the boxes to use. By default all are used, but in
            a ground truth of MOT16, MOT17 or MOT20 only pedestrians (1) with the flag
            1. A file counts as such when most of its lines have a flag, a class and a
            visibility (`track_lines._flag`).
        nobody: Ids whose boxes are left out.

    Raises:
        CountsFromZeroError: there is a frame 0, and `first_frame` is 1.
        UserError: the file is no text, its header names another order of columns, most
            of its lines cannot be used, or no track is left.
    """
    lines = track_lines.read(path, nobody=nobody)
    is_used = ~np.isin(lines.numbers, list(lines.problems))
    if first_frame == 1 and np.any(is_used & (lines.frames == 0)):
        raise CountsFromZeroError(
            f"{path} counts frames from 0, not from 1: say so with --first_frame=0."
        )
    left_out = _unusable_lines(lines)

    def leave_out(reason: str, is_selected: np.ndarray, *, is_bad: bool) -> None:
        is_selected = is_used & is_selected
        is_used[is_selected] = False
        if numbers := tuple(lines.numbers[is_selected].tolist()):
            left_out.append(LeftOut(reason, numbers, is_bad=is_bad))

    ignored_by_class = _ignored_by_class(path, lines, is_used.copy(), classes)
    leave_out("before the first frame", lines.frames < first_frame, is_bad=True)
    is_nobody = np.isin(lines.track_ids, list(nobody))
    leave_out("persons without identity", is_nobody, is_bad=False)
    for reason, is_other in ignored_by_class:
        leave_out(reason, is_other, is_bad=False)
    order = _sorted_by_id_and_frame(lines, np.flatnonzero(is_used))
    is_same_as_before = np.diff(lines.track_ids[order]) == 0
    is_same_as_before &= np.diff(lines.frames[order]) == 0
    is_repeated = np.zeros(len(is_used), bool)
    is_repeated[order[1:][is_same_as_before]] = True
    leave_out("the id is in that frame already", is_repeated, is_bad=True)
    left_out.sort(key=lambda each: each.lines[0])
    _check(path, len(is_used), is_used.any(), left_out)
    tracks = {}
    order = order[is_used[order]]
    ends = np.flatnonzero(np.diff(lines.track_ids[order])) + 1
    for indices in np.split(order, ends):
        frames = lines.frames[indices] - first_frame + 1
        track = Track(frames, lines.boxes[indices], lines.numbers[indices])
        tracks[int(lines.track_ids[indices[0]])] = track
    return Tracks(tracks, tuple(left_out), first_frame)


def _unusable_lines(lines: Lines) -> list[LeftOut]:
    """Lines with a problem, grouped by it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, (problem, _) in lines.problems.items():
        groups[problem].append(number)
    return [
        LeftOut(problem, tuple(numbers), lines.problems[numbers[0]][1])
        for problem, numbers in groups.items()
    ]


def _sorted_by_id_and_frame(lines: Lines, indices: np.ndarray) -> np.ndarray:
    """Sorts indices of lines by id and frame; equal ones stay in the file's order."""
    return indices[np.lexsort((lines.frames[indices], lines.track_ids[indices]))]


def _ignored_by_class(
    path: str | os.PathLike,
    lines: Lines,
    is_usable: np.ndarray,
    classes: Collection[int] | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields reasons why lines are left out for their class, each with a mask of lines.

    A line counts under the first reason that it has.
    """
    has_class, has_flag = lines.kinds != ABSENT, lines.flags != ABSENT
    class_ids = np.unique(lines.kinds[has_class]).tolist()
    if classes is not None:
        if is_usable.any() and not has_class[is_usable].any():
            raise UserError(f"{path} has no classes in column 8: leave out --classes.")
        yield "class None in column 8", ~has_class
        for class_id in class_ids:
            if class_id not in classes:
                yield f"class {class_id} in column 8", lines.kinds == class_id
    elif 2 * np.sum(has_flag & is_usable) > np.sum(is_usable):
        yield "no flag, class and visibility", ~has_flag
        for class_id in class_ids:
            if class_id != 1:
                reason = f"class {class_id}, not 1 (pedestrian), in column 8"
                yield reason, lines.kinds == class_id
        yield "flag 0 (not considered) in column 7", lines.flags == 0


def _check(
    path: str | os.PathLike, num: int, is_any: bool, left_out: Sequence[LeftOut]
) -> None:
    """Raises a UserError if most lines are bad, or none gave a box."""
    subject = f"{path} ({track_lines.FORMAT})"
    num_bad = sum(len(each.lines) for each in left_out if each.is_bad)
    if 2 * num_bad > num:
        subject += f": {num_bad} of {num} lines cannot be used"
    elif is_any:
        return
    else:
        subject += ": no tracks in it"
    raise UserError("\n  ".join([f"{subject}:", *map(str, left_out)]).strip(":") + ".")
