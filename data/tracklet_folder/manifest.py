"""Reads the manifest of a tracklet folder: rows of frames, person, camera and split.

`tracklets.csv` has a header; `tracklets.jsonl` has a JSON object on each line, with the
same names. `frames` is a path or a glob relative to the folder, or several: separated
by `;` in CSV, in a list in JSON.
"""

import csv
import dataclasses
import difflib
import glob
import json
import os
import pathlib
import re
from collections.abc import Iterator

from data.sources import image_files

SPLITS = ("train", "query", "gallery")
REQUIRED = ("frames", "pid", "camid", "split")
COLUMNS = (*REQUIRED, "tracklet")
NAMES = ("tracklets.csv", "tracklets.jsonl")


@dataclasses.dataclass(frozen=True)
class Row:
    """One tracklet of the manifest. A row with a problem has what could be read of it.

    Attributes:
        line: Its last line in the manifest, from 1.
        patterns: Paths and globs of its frames.
        images: Paths of the frames under the folder, in natural order, each once.
        pid: Person id; None if it cannot be read.
        camid: Camera id, from 0; None if it cannot be read.
        split: "train", "query" or "gallery", unless there is a problem.
        name: Its name; by default its line.
    """

    line: int
    patterns: tuple[str, ...]
    images: list[str]
    pid: int | None
    camid: int | None
    split: str
    name: str


def find(folder: pathlib.Path, problems: list[str]) -> pathlib.Path | None:
    """The manifest of a folder, or None after adding to `problems`."""
    paths = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(paths) == 1:
        return paths[0]
    if paths:
        problems.append(f"{' and '.join(NAMES)}: only one of them can be the manifest")
    else:
        problems.append(f"{NAMES[0]}: missing ({NAMES[1]} as well)")
    return None


def read_rows(path: pathlib.Path, problems: list[str]) -> list[Row]:
    """The rows of a manifest; problems within a row go to `problems`."""
    rows = []
    read_lines = csv_lines if path.suffix == ".csv" else _json_lines
    for line, fields in read_lines(path, problems):
        row_problems: list[str] = []
        rows.append(_parse(path.parent, line, fields, row_problems))
        problems += [f"{path.name} line {line}: {each}" for each in row_problems]
    if not rows and not problems:
        problems.append(f"{path.name}: no tracklets in it")
    return rows


_UNREADABLE = "\ufffd"
"""Replacement of bytes that are not UTF-8."""


def csv_lines(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields line and fields of each row of a CSV manifest, `frames` as a list."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        last_line = 1
        try:
            header = [name.strip() for name in next(reader, [])]
            header_problems = list(_column_problems(header))
            problems += [f"{path.name} line 1: {each}" for each in header_problems]
            if header_problems:
                return
            for fields in reader:
                if any(_UNREADABLE in field for field in fields):
                    problems.append(f"{path.name} line {reader.line_num}: not UTF-8")
                elif len(fields) == len(header):
                    row = dict(zip(header, map(str.strip, fields), strict=True))
                    frames = map(str.strip, row["frames"].split(";"))
                    yield reader.line_num, {**row, "frames": list(filter(None, frames))}
                elif any(fields):
                    lines = f"line {reader.line_num}"
                    if reader.line_num > last_line + 1:
                        lines = f"lines {last_line + 1} to {reader.line_num}"
                    problems.append(
                        f"{path.name} {lines}: {len(fields)} fields, "
                        f"but the header has {len(header)} (quote those with commas)"
                    )
                last_line = reader.line_num
        except csv.Error as error:
            problems.append(f"{path.name} line {reader.line_num}: {error}")


def _json_lines(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yields line and fields of each row of a JSON manifest, `frames` as a list."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    # `splitlines` would also split at characters that JSON strings may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        place = f"{path.name} line {number}"
        if not line.strip():
            continue
        if _UNREADABLE in line:
            problems.append(f"{place}: not UTF-8")
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{place}: not JSON ({error})")
            continue
        if re.search("[\ud800-\udfff]", json.dumps(row, ensure_ascii=False)):
            problems.append(f"{place}: half of a character, \\ud800 to \\udfff")
            continue
        if not isinstance(row, dict):
            problems.append(f"{place}: not an object like {{'frames': …, 'pid': …}}")
            continue
        column_problems = list(_column_problems(list(row)))
        problems += [f"{place}: {each}" for each in column_problems]
        if not column_problems:
            if isinstance(row["frames"], str):
                row["frames"] = [row["frames"]]
            yield number, row


def _column_problems(names: list[str]) -> Iterator[str]:
    """Yields a text for columns that are unknown, repeated, or missing."""
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            yield f"unknown column {name!r}{_suggestion(name, COLUMNS)}"
        elif names.count(name) > 1:
            yield f"column {name!r} is there {names.count(name)} times"
    if missing := [name for name in REQUIRED if name not in names]:
        yield f"no column {', '.join(map(repr, missing))}"


def _parse(folder: pathlib.Path, line: int, fields: dict, problems: list[str]) -> Row:
    """The row with these fields, as far as they can be read; adds to `problems`."""
    split, patterns = str(fields["split"]), fields["frames"]
    if split not in SPLITS:
        allowed = ", ".join(SPLITS)
        problems.append(
            f"split {split!r}{_suggestion(split, SPLITS)}, not one of {allowed}"
        )
    pid = _number(fields["pid"], "pid", -1, problems)
    if pid is not None and pid < 1 and split != "gallery":
        problems.append(f"pid {pid}: 0 (distractor) and -1 (junk) are for the gallery")
    camid = _number(fields["camid"], "camid", 0, problems)
    if not isinstance(patterns, list) or not all(
        isinstance(pattern, str) for pattern in patterns
    ):
        problems.append(f"frames {patterns!r}: not a path or a list of paths")
        patterns = []
    elif not patterns:
        problems.append("frames: empty")
    images = _expand(folder, patterns, problems)
    name = fields.get("tracklet") or f"line {line}"
    return Row(line, tuple(patterns), images, pid, camid, split, str(name))


def _number(
    value: object, column: str, minimum: int, problems: list[str]
) -> int | None:
    # JSON has numbers, CSV has text.
    """The whole number in a field; None, and a text in `problems`, if there is none."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value):
        value = int(value)
    if type(value) is int and minimum <= value <= image_files.LARGEST:
        return value
    problems.append(
        f"{column} {value!r}: not a whole number from {minimum} to "
        f"{image_files.LARGEST}"
    )
    return None


def _expand(
    folder: pathlib.Path, patterns: list[str], problems: list[str]
) -> list[str]:
    """The files that paths and globs match, in natural order; adds to `problems`."""
    images: list[str] = []
    for pattern in patterns:
        parts = pathlib.PurePath(pattern)
        pattern = parts.as_posix()  # ./a//b is a/b
        if parts.is_absolute() or ".." in parts.parts:
            problems.append(f"frames {pattern!r}: not a path inside the folder")
        elif (folder / pattern).is_dir():
            problems.append(f"frames {pattern!r}: a folder (write {pattern}/*.jpg)")
        elif (folder / pattern).is_file():
            images.append(pattern)
        elif glob.has_magic(pattern):
            matches = glob.glob(pattern, root_dir=folder, recursive=True)
            matches = [path for path in matches if not (folder / path).is_dir()]
            for path in matches:
                if (folder / path).is_file():
                    images.append(path.replace(os.sep, "/"))
                else:  # a link to nowhere, a pipe
                    problems.append(f"frames {pattern!r}: {path!r} is no file")
            if not matches:
                problems.append(f"frames {pattern!r}: no file matches")
        else:
            problems.append(f"frames {pattern!r}: missing")
    unique = sorted(set(images), key=image_files.natural_key)
    if len(unique) < len(images):
        problems.append(f"frames: {len(images) - len(unique)} are named more than once")
    return unique


def _suggestion(name: object, allowed: tuple[str, ...]) -> str:
    """A hint in brackets at an allowed name that is close, or an empty text."""
    matches = difflib.get_close_matches(str(name).lower(), allowed, n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
