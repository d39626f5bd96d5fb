"""Tracks of a file in MOTChallenge format: which boxes each id has in which frames.

`track_lines` says what the lines look like, `cutting` cuts the boxes out of a video.
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
    rest = ~np.isin(lines.numbers, list(lines.problems))
    if first_frame == 1 and np.any(rest & (lines.frames == 0)):
        raise CountsFromZeroError(
            f"{path} counts frames from 0, not from 1: say so with --first_frame=0."
        )
    left_out = _with_problems(lines)

    def leave_out(reason: str, which: np.ndarray, *, is_bad: bool) -> None:
        which = rest & which
        rest[which] = False
        if numbers := tuple(lines.numbers[which].tolist()):
            left_out.append(LeftOut(reason, numbers, is_bad=is_bad))

    of_other_classes = _of_other_classes(path, lines, rest.copy(), classes)
    leave_out("before the first frame", lines.frames < first_frame, is_bad=True)
    is_nobody = np.isin(lines.track_ids, list(nobody))
    leave_out("persons without identity", is_nobody, is_bad=False)
    for reason, is_other in of_other_classes:
        leave_out(reason, is_other, is_bad=False)
    order = _by_id_and_frame(lines, np.flatnonzero(rest))
    is_same = np.diff(lines.track_ids[order]) == 0
    is_same &= np.diff(lines.frames[order]) == 0
    is_again = np.zeros(len(rest), bool)
    is_again[order[1:][is_same]] = True
    leave_out("the id is in that frame already", is_again, is_bad=True)
    left_out.sort(key=lambda each: each.lines[0])
    _check(path, len(rest), rest.any(), left_out)
    tracks = {}
    order = order[rest[order]]
    ends = np.flatnonzero(np.diff(lines.track_ids[order])) + 1
    for indices in np.split(order, ends):
        frames = lines.frames[indices] - first_frame + 1
        track = Track(frames, lines.boxes[indices], lines.numbers[indices])
        tracks[int(lines.track_ids[indices[0]])] = track
    return Tracks(tracks, tuple(left_out), first_frame)


def _with_problems(lines: Lines) -> list[LeftOut]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, (problem, _) in lines.problems.items():
        groups[problem].append(number)
    return [
        LeftOut(problem, tuple(numbers), lines.problems[numbers[0]][1])
        for problem, numbers in groups.items()
    ]


def _by_id_and_frame(lines: Lines, indices: np.ndarray) -> np.ndarray:
    """Sorts indices of lines; those of one id and frame stay in the file's order."""
    return indices[np.lexsort((lines.frames[indices], lines.track_ids[indices]))]


def _of_other_classes(
    path: str | os.PathLike,
    lines: Lines,
    is_usable: np.ndarray,
    classes: Collection[int] | None,
) -> Iterator[tuple[str, np.ndarray]]:
    """Why lines are left out for their class, and which: the first reason counts."""
    has_kind, has_flag = lines.kinds != ABSENT, lines.flags != ABSENT
    kinds = np.unique(lines.kinds[has_kind]).tolist()
    if classes is not None:
        if is_usable.any() and not has_kind[is_usable].any():
            raise UserError(f"{path} has no classes in column 8: leave out --classes.")
        yield "class None in column 8", ~has_kind
        for kind in kinds:
            if kind not in classes:
                yield f"class {kind} in column 8", lines.kinds == kind
    elif 2 * np.sum(has_flag & is_usable) > np.sum(is_usable):
        yield "no flag, class and visibility", ~has_flag
        for kind in kinds:
            if kind != 1:
                reason = f"class {kind}, not 1 (pedestrian), in column 8"
                yield reason, lines.kinds == kind
        yield "flag 0 (not considered) in column 7", lines.flags == 0


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
