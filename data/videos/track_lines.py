"""The lines of a tracks file as numbers: separators, headers, and what is unusable.

Each line is `frame,id,left,top,width,height,…`, as MOTChallenge has it
(https://motchallenge.net). Between the numbers may be commas, semicolons, tabs or
spaces. The first line may be a header; lines that begin with # are comments.
"""

import dataclasses
import math
import os
import pathlib
import re
from collections.abc import Collection, Iterator, Mapping

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

_LARGEST = 2**53
"""Beyond it a float no longer tells whole numbers apart."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: its box, or the problem for which it has none.

    `frame` is the number as it is in the file, `kind` the class in column 8 if there is
    a whole number from 0, and `is_considered` the flag of a ground truth, else None.
    """

    number: int
    """Its place in the file, counted from 1."""

    problem: str | None = None
    text: str = ""
    """What is in the line, where there is a problem."""

    frame: int = 0
    track_id: int = 0
    box: tuple[float, ...] = ()
    kind: int | None = None
    is_considered: bool | None = None


def read(path: str | os.PathLike, *, nobody: Collection[int] = ()) -> list[Line]:
    """The lines of a file that are neither empty nor comments nor its header.

    Ids in `nobody` are usable even if they are below 0.

    Raises:
        UserError: the file is no text, or its header names other columns or another
            order than `FORMAT`.
    """
    lines = []
    for number, text in _texts(path):
        fields = _split(text.lstrip("#").strip())
        is_comment = text.startswith("#")
        if not lines and _is_header(fields, is_comment):
            _check_header(path, number, fields)
        elif not is_comment:
            lines.append(_parse(number, text, fields, nobody))
    return lines


def with_ids(
    path: str | os.PathLike, ids: Mapping[int, int], dropped: Collection[int] = ()
) -> bytes:
    """The content of a file with other ids in the lines (counted from 1) of `ids`.

    Lines of `dropped` are left out. Everything else stays, byte for byte.
    """
    content = pathlib.Path(path).read_bytes()
    # Latin-1 has a letter for every byte: what is not changed comes back as it was.
    codec = "latin-1"
    if content.startswith(b"\xff\xfe"):
        codec = "utf-16-le"
    elif content.startswith(b"\xfe\xff"):
        codec = "utf-16-be"
    lines = []
    for number, line in enumerate(_LINE.findall(content.decode(codec)), start=1):
        if number in ids:
            line = _SECOND.sub(rf"\g<1>{ids[number]}", line, count=1)
        if number not in dropped:
            lines.append(line)
    return "".join(lines).encode(codec)


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+$")
_SECOND = re.compile(r"(\s*[^\s,;]+(?:\s*[,;]\s*|\s+))[^\s,;]+")
"""The first field of a line with what follows it, and the second field."""


def _texts(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not empty."""
    with open(path, encoding=_encoding(path), errors="replace") as file:
        for number, text in enumerate(file, start=1):
            if text.strip():
                yield number, text.strip()


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


def _parse(number: int, text: str, fields: list[str], nobody: Collection[int]) -> Line:
    try:
        frame, track_id, *box = _numbers(fields, nobody)
    except UserError as error:
        return Line(number, str(error), text)
    return Line(
        number,
        frame=frame,
        track_id=track_id,
        box=tuple(box),
        kind=_class(fields),
        is_considered=_flag(fields),
    )


def _numbers(fields: list[str], nobody: Collection[int]) -> tuple[float, ...]:
    if len(fields) < 6:
        raise UserError("fewer than six numbers")
    if not all(map(_is_number, fields[:6])):
        raise UserError("not a number")
    values = [float(field) for field in fields[:6]]
    if not all(map(math.isfinite, values)):
        raise UserError("not a finite number")
    frame, track_id, left, top, width, height = values
    if not 0 <= frame <= _LARGEST or not frame.is_integer():
        raise UserError("the frame is not a whole number from 0")
    if track_id not in nobody and not (
        0 <= track_id <= _LARGEST and track_id.is_integer()
    ):
        raise UserError(
            "the id is not a whole number from 0; -1 is a detection without a track"
        )
    if width <= 0 or height <= 0:
        raise UserError("empty box")
    return int(frame), int(track_id), left, top, width, height


def _class(fields: list[str]) -> int | None:
    """The class in column 8."""
    if len(fields) < 8 or not _is_number(fields[7]):
        return None
    kind = float(fields[7])
    return int(kind) if kind.is_integer() and 0 <= kind <= _LARGEST else None


def _flag(fields: list[str]) -> bool | None:
    """The flag in a line of MOT16's, MOT17's or MOT20's gt.txt; None in others.

    Such a line has exactly nine columns: after the box a flag, 0 or 1, a class from 1,
    and a visibility from 0 to 1. A tracker writes a confidence, and then -1.
    """
    if len(fields) != 9 or not _class(fields) or not _is_number(fields[8]):
        return None
    is_one = {"0": False, "1": True}.get(fields[6].removesuffix(".0"))
    return is_one if 0 <= float(fields[8]) <= 1 else None
