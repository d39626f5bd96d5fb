"""The lines of a tracks file as numbers: separators, headers, and what is unusable.

Each line is `frame,id,left,top,width,height,…`, as MOTChallenge has it
(https://motchallenge.net). Between the numbers may be commas, semicolons, tabs or
spaces. The first line may be a header; lines that begin with # are comments.
"""

import codecs
import dataclasses
import io
import itertools
import math
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping

import numpy as np
from jaxtyping import Float, Int

from data.videos import track_numbers
from reid_jax.errors import UserError

FORMAT = "frame,id,left,top,width,height"

_NAMES = (
    ("frame", "frameid", "frameindex", "frameno", "framenumber", "fn", "fr"),
    ("id", "trackid", "tracknumber", "track", "objectid", "identity", "targetid"),
    ("left", "x", "x1", "xmin", "bbleft", "bboxleft", "bbx", "bboxx", "xleft"),
    ("top", "y", "y1", "ymin", "bbtop", "bboxtop", "bby", "bboxy", "ytop"),
    ("width", "w", "bbwidth", "bboxwidth", "bbw", "bboxw"),
    ("height", "h", "bbheight", "bboxheight", "bbh", "bboxh"),
)
"""What a header may call the six columns; only letters and digits count."""

_BLOCK = 1024
"""Lines that are read at once, or one at a time where one of them is not plain."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """The lines of a file, and the numbers or the problem of each.

    `frames` are as they are in the file. `kinds` are the classes in column 8 where that
    is a whole number from 0, and `flags` those of a ground truth, 0 or 1; elsewhere
    they are `track_numbers.ABSENT`. All numbers of a line with a problem are 0.
    """

    numbers: Int[np.ndarray, "N"]
    """Their places in the file, counted from 1."""

    frames: Int[np.ndarray, "N"]
    track_ids: Int[np.ndarray, "N"]
    boxes: Float[np.ndarray, "N 4"]
    kinds: Int[np.ndarray, "N"]
    flags: Int[np.ndarray, "N"]

    problems: dict[int, tuple[str, str]]
    """By its place, each line with a problem: the problem, and the line's text."""


def read(path: str | os.PathLike, *, nobody: Collection[int] = ()) -> Lines:
    """The lines of a file that are neither empty nor comments nor its header.

    Ids in `nobody` are usable even if they are below 0.

    Raises:
        UserError: the file is no text, or its header names other columns or another
            order than `FORMAT`.
    """
    numbers = [np.zeros(0, int)]
    tables = [np.zeros((0, track_numbers.NUM))]
    problems: dict[int, tuple[str, str]] = {}
    is_any = False
    for first, texts in _blocks(path):
        table = track_numbers.read(texts)
        if table is None:  # each line for itself
            table = np.zeros((len(texts), track_numbers.NUM))
            is_line = np.zeros(len(texts), bool)
        else:
            is_line = track_numbers.are_usable(table, nobody)
        is_any |= is_line.any()
        for index in np.flatnonzero(~is_line).tolist():
            text = texts[index].strip()
            fields = _split(text.lstrip("#").strip())
            is_comment = text.startswith("#")
            if not is_any and text and _is_header(fields, is_comment):
                _check_header(path, first + index, fields)
            elif text and not is_comment:
                is_line[index] = is_any = True
                try:
                    table[index] = _parse(fields, nobody)
                except UserError as error:
                    table[index] = 0
                    problems[first + index] = str(error), text
        numbers.append(first + np.flatnonzero(is_line))
        tables.append(table[is_line])
    table = np.concatenate(tables)
    frames, track_ids = table[:, :2].T.astype(int)
    kinds, flags = table[:, 6:].T.astype(int)
    return Lines(
        np.concatenate(numbers),
        frames,
        track_ids,
        np.ascontiguousarray(table[:, 2:6]),
        kinds,
        flags,
        problems,
    )


def with_ids(
    path: str | os.PathLike, ids: Mapping[int, int], dropped: Collection[int] = ()
) -> bytes:
    """The bytes of a file with other ids in the lines (counted from 1) of `ids`.

    The lines `dropped` are left out. Everything else stays as it is, to the byte: the
    encoding and its mark, the ends of lines, and what is no text in the encoding.
    """
    content = pathlib.Path(path).read_bytes()
    codec, errors = "utf-8", "surrogateescape"
    if _encoding(path) == "utf-16":
        is_little = content.startswith(codecs.BOM_UTF16_LE)
        codec, errors = "utf-16-le" if is_little else "utf-16-be", "surrogatepass"
    num_odd = len(content) % 2 if codec != "utf-8" else 0  # half a character
    end = len(content) - num_odd
    text = content[:end].decode(codec, errors)
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines, dropped = [mark], frozenset(dropped)
    # With newline="", the lines are those that `read` counts, with their ends.
    for number, line in enumerate(io.StringIO(text[len(mark) :], newline=""), start=1):
        if number in ids:
            line = _SECOND.sub(rf"\g<1>{ids[number]}", line, count=1)
        if number not in dropped:
            lines.append(line)
    return "".join(lines).encode(codec, errors) + content[end:]


_SECOND = re.compile(r"(\s*[^\s,;]+(?:\s*[,;]\s*|\s+))[^\s,;]+")
"""The first field of a line with what follows it, and the second field."""


def _blocks(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    """Some lines at a time, after the number of the first of them."""
    with open(path, encoding=_encoding(path), errors="replace") as file:
        for first in itertools.count(1, _BLOCK):
            if not (texts := list(itertools.islice(file, _BLOCK))):
                return
            yield first, texts


def _encoding(path: str | os.PathLike) -> str:
    with open(path, "rb") as file:
        start = file.read(4096)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # as PowerShell's > writes
        return "utf-16"
    if b"\0" in start:
        raise UserError(f"{path} is no text file; tracks are lines {FORMAT},….")
    return "utf-8-sig"


def _split(text: str) -> list[str]:
    """The fields of a line. One separator for a line: 3,5 is no number in 1;2;3,5."""
    for separator in (";", ","):
        if separator in text:
            text = text.removesuffix(separator)
            return [field.strip() for field in text.split(separator)]
    return text.split() or [""]


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_header(fields: list[str], is_comment: bool) -> bool:
    """Whether a first line names columns; a comment does if it begins with frame."""
    if len(fields) < len(_NAMES) or any(map(_is_number, fields)):
        return False
    return not is_comment or _plain(fields[0]) in _NAMES[0]


def _check_header(path: str | os.PathLike, line: int, fields: list[str]) -> None:
    for field, known, usual in zip(fields, _NAMES, FORMAT.split(","), strict=False):
        if _plain(field) not in known:
            raise UserError(
                f"{path} line {line}: the header has the column {field!r} where "
                f"{usual!r} should be. The columns have to be {FORMAT}, in this order; "
                "left and top are a corner of the box, not its centre."
            )


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())


def _parse(fields: list[str], nobody: Collection[int]) -> tuple[float, ...]:
    """The numbers of a line, as `track_numbers.read` gives them."""
    if len(fields) < 6:
        raise UserError("fewer than six numbers")
    try:
        values = tuple(map(float, fields[:6]))
    except ValueError:
        raise UserError("not a number") from None
    if not all(map(math.isfinite, values)):
        raise UserError("not a finite number")
    frame, track_id, *_, width, height = values
    if not _is_whole(frame):
        raise UserError("the frame is not a whole number from 0")
    if track_id not in nobody and not _is_whole(track_id):
        raise UserError(
            "the id is not a whole number from 0; -1 is a detection without a track"
        )
    if width <= 0 or height <= 0:
        raise UserError("empty box")
    return *values, _class(fields), _flag(fields)


def _is_whole(value: float) -> bool:
    return 0 <= value <= track_numbers.LARGEST and value.is_integer()


def _class(fields: list[str]) -> float:
    """The class in column 8."""
    if len(fields) < 8 or not _is_number(fields[7]):
        return track_numbers.ABSENT
    kind = float(fields[7])
    return kind if _is_whole(kind) else track_numbers.ABSENT


def _flag(fields: list[str]) -> float:
    """The flag in a line of MOT16's, MOT17's or MOT20's gt.txt; ABSENT in others.

    Such a line has exactly nine columns: after the box a flag, 0 or 1, a class from 1,
    and a visibility from 0 to 1. A tracker writes a confidence, and then -1.
    """
    if len(fields) != 9 or _class(fields) < 1 or not _is_number(fields[8]):
        return track_numbers.ABSENT
    flag = {"0": 0, "1": 1}.get(fields[6].removesuffix(".0"), track_numbers.ABSENT)
    return flag if 0 <= float(fields[8]) <= 1 else track_numbers.ABSENT
