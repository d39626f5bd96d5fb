"""Reads the lines of a tracks file as numbers, whatever separators and header it has.

Each line is `frame,id,left,top,width,height,…`, as in MOTChallenge
(https://motchallenge.net). Commas, semicolons, tabs or spaces may separate the numbers.
The first line may be a header; lines that begin with # are comments.
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

_HEADER_NAMES = (
    ("frame", "frameid", "frameindex", "frameno", "framenumber", "fn", "fr"),
    ("id", "trackid", "tracknumber", "track", "objectid", "identity", "targetid"),
    ("left", "x", "x1", "xmin", "bbleft", "bboxleft", "bbx", "bboxx", "xleft"),
    ("top", "y", "y1", "ymin", "bbtop", "bboxtop", "bby", "bboxy", "ytop"),
    ("width", "w", "bbwidth", "bboxwidth", "bbw", "bboxw"),
    ("height", "h", "bbheight", "bboxheight", "bbh", "bboxh"),
)
"""Names of the six columns in headers; only letters and digits are compared."""

_BLOCK = 1024
"""Lines that are parsed at once; one by one if any of them has other than numbers."""


@dataclasses.dataclass(frozen=True)
class Lines:
    """The N lines of a file: their numbers, or their problem.

    All numbers of a line with a problem are 0.
    """

    numbers: Int[np.ndarray, "N"]
    """Position of each line in the file, from 1."""

    frames: Int[np.ndarray, "N"]
    """Frame numbers, as in the file."""

    track_ids: Int[np.ndarray, "N"]
    boxes: Float[np.ndarray, "N 4"]
    """Left, top, width, height in pixels."""

    kinds: Int[np.ndarray, "N"]
    """Class in column 8, from 0; `track_numbers.ABSENT` without one."""

    flags: Int[np.ndarray, "N"]
    """Flag of a ground truth, 0 or 1; `track_numbers.ABSENT` in other lines."""

    problems: dict[int, tuple[str, str]]
    """Position of each line with a problem → the problem and the line's text."""


def read(path: str | os.PathLike, *, nobody: Collection[int] = ()) -> Lines:
    """Reads the lines of a file that are neither empty, nor comments, nor its header.

    Args:
        path: The file.
        nobody: Ids that are usable even if they are below 0.

    Raises:
        UserError: the file is no text, or its header has other columns or another order
            than `FORMAT`.
    """
    numbers = [np.zeros(0, int)]
    tables = [np.zeros((0, track_numbers.NUM_VALUES))]
    problems: dict[int, tuple[str, str]] = {}
    has_line = False
    for first, texts in _blocks(path):
        table = track_numbers.read(texts)
        if table is None:  # parse the lines one by one
            table = np.zeros((len(texts), track_numbers.NUM_VALUES))
            is_line = np.zeros(len(texts), bool)
        else:
            is_line = track_numbers.are_usable(table, nobody)
        has_line |= is_line.any()
        for index in np.flatnonzero(~is_line).tolist():
            text = texts[index].strip()
            fields = _split(text.lstrip("#").strip())
            is_comment = text.startswith("#")
            if not has_line and text and _is_header(fields, is_comment):
                _check_header(path, first + index, fields)
            elif text and not is_comment:
                is_line[index] = has_line = True
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
    """The bytes of a tracks file with other ids in some lines.

    Everything else stays unchanged, to the byte: the encoding and its mark, the ends of
    lines, and bytes that are no text in that encoding.

    Args:
        path: The file.
        ids: Line, from 1 → its new id.
        dropped: Lines to leave out.
    """
    content = pathlib.Path(path).read_bytes()
    codec, errors = "utf-8", "surrogateescape"
    if _encoding(path) == "utf-16":
        is_little = content.startswith(codecs.BOM_UTF16_LE)
        codec, errors = "utf-16-le" if is_little else "utf-16-be", "surrogatepass"
    # A last odd byte is half of a UTF-16 character.
    num_odd_bytes = len(content) % 2 if codec != "utf-8" else 0
    end = len(content) - num_odd_bytes
    text = content[:end].decode(codec, errors)
    byte_order_mark = "\ufeff" if text.startswith("\ufeff") else ""
    lines, dropped = [byte_order_mark], frozenset(dropped)
    # newline="" gives the lines that `read` counts, with their line ends.
    for number, line in enumerate(
        io.StringIO(text[len(byte_order_mark) :], newline=""), start=1
    ):
        if number in ids:
            line = _SECOND_FIELD.sub(rf"\g<1>{ids[number]}", line, count=1)
        if number not in dropped:
            lines.append(line)
    return "".join(lines).encode(codec, errors) + content[end:]


_SECOND_FIELD = re.compile(r"(\s*[^\s,;]+(?:\s*[,;]\s*|\s+))[^\s,;]+")
"""The first field of a line and the separator (group 1), then the second field."""


def _blocks(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    """Yields blocks of lines, each with the number of its first line."""
    with open(path, encoding=_encoding(path), errors="replace") as file:
        for first in itertools.count(1, _BLOCK):
            if not (texts := list(itertools.islice(file, _BLOCK))):
                return
            yield first, texts


def _encoding(path: str | os.PathLike) -> str:
    """The encoding of a tracks file: UTF-16 or UTF-8; UserError for a binary file."""
    with open(path, "rb") as file:
        start = file.read(4096)
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # PowerShell's > writes UTF-16
        return "utf-16"
    if b"\0" in start:
        raise UserError(f"{path} is no text file; tracks are lines {FORMAT},….")
    return "utf-8-sig"


def _split(text: str) -> list[str]:
    """The fields of a line, which has one separator: 1;2;3,5 has no number 3,5."""
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
    """Whether a first line names columns; a comment does if it begins with `frame`."""
    if len(fields) < len(_HEADER_NAMES) or any(map(_is_number, fields)):
        return False
    return not is_comment or _normalized(fields[0]) in _HEADER_NAMES[0]


def _check_header(path: str | os.PathLike, line: int, fields: list[str]) -> None:
    """Raises a UserError unless the columns are those of `FORMAT`, in its order."""
    for field, names, title in zip(
        fields, _HEADER_NAMES, FORMAT.split(","), strict=False
    ):
        if _normalized(field) not in names:
            raise UserError(
                f"{path} line {line}: the header has the column {field!r} where "
                f"{title!r} should be. The columns have to be {FORMAT}, in this order; "
                "left and top are a corner of the box, not its centre."
            )


def _normalized(name: str) -> str:
    """A column's name as lower-case letters and digits."""
    return re.sub("[^a-z0-9]", "", name.lower())


def _parse(fields: list[str], nobody: Collection[int]) -> tuple[float, ...]:
    """The numbers of a line, in the order of `track_numbers.read`."""
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
    return 0 <= value <= track_numbers.MAX_WHOLE and value.is_integer()


def _class(fields: list[str]) -> float:
    """The class in column 8, or ABSENT."""
    if len(fields) < 8 or not _is_number(fields[7]):
        return track_numbers.ABSENT
    value = float(fields[7])
    return value if _is_whole(value) else track_numbers.ABSENT


def _flag(fields: list[str]) -> float:
    """The flag in a line of gt.txt of MOT16, MOT17 or MOT20; ABSENT in other lines.

    Such a line has exactly nine columns: after the box a flag, 0 or 1, a class from 1,
    and a visibility from 0 to 1. A tracker writes a confidence there, and then -1.
    """
    if len(fields) != 9 or _class(fields) < 1 or not _is_number(fields[8]):
        return track_numbers.ABSENT
    flag = {"0": 0, "1": 1}.get(fields[6].removesuffix(".0"), track_numbers.ABSENT)
    return flag if 0 <= float(fields[8]) <= 1 else track_numbers.ABSENT
