"""The manifest of a tracklet folder: rows of frames, person, camera and split.

`tracklets.csv` has a header; `tracklets.jsonl` has an object on each line, with the
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
NEEDED = ("frames", "pid", "camid", "split")
COLUMNS = (*NEEDED, "tracklet")
NAMES = ("tracklets.csv", "tracklets.jsonl")


@dataclasses.dataclass(frozen=True)
class Row:
    """One tracklet; `line` is its last line in the manifest, counted from 1.

    `images` are paths under the folder, in natural order, each once. Of a row with
    something wrong, they are those that could be found, and numbers may be None.
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
    found = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        problems.append(f"{' and '.join(NAMES)}: only one of them can be the manifest")
    else:
        problems.append(f"{NAMES[0]}: missing ({NAMES[1]} as well)")
    return None


def read_rows(path: pathlib.Path, problems: list[str]) -> list[Row]:
    """The rows of a manifest; what is wrong within one of them goes to `problems`."""
    rows = []
    read = csv_lines if path.suffix == ".csv" else _json_lines
    for line, fields in read(path, problems):
        wrong: list[str] = []
        rows.append(_parse(path.parent, line, fields, wrong))
        problems += [f"{path.name} line {line}: {each}" for each in wrong]
    if not rows and not problems:
        problems.append(f"{path.name}: no tracklets in it")
    return rows


_UNREADABLE = "\ufffd"
"""What bytes that are no UTF-8 are read as."""


def csv_lines(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[int, dict[str, object]]]:
    """Line number and fields of each row, `frames` as a list."""
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        before = 1
        try:
            header = [name.strip() for name in next(reader, [])]
            wrong = list(_wrong_names(header))
            problems += [f"{path.name} line 1: {each}" for each in wrong]
            if wrong:
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
                    if reader.line_num > before + 1:
                        lines = f"lines {before + 1} to {reader.line_num}"
                    problems.append(
                        f"{path.name} {lines}: {len(fields)} fields, "
                        f"but the header has {len(header)} (quote those with commas)"
                    )
                before = reader.line_num
        except csv.Error as error:
            problems.append(f"{path.name} line {reader.line_num}: {error}")


def _json_lines(
    path: pathlib.Path, problems: list[str]
) -> Iterator[tuple[int, dict[str, object]]]:
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    # Not splitlines, which also splits at characters that JSON strings may hold.
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
        wrong = list(_wrong_names(list(row)))
        problems += [f"{place}: {each}" for each in wrong]
        if not wrong:
            if isinstance(row["frames"], str):
                row["frames"] = [row["frames"]]
            yield number, row


def _wrong_names(names: list[str]) -> Iterator[str]:
    """Columns that are unknown, there twice, or missing."""
    for name in dict.fromkeys(names):
        if name not in COLUMNS:
            yield f"unknown column {name!r}{_suggestion(name, COLUMNS)}"
        elif names.count(name) > 1:
            yield f"column {name!r} is there {names.count(name)} times"
    if missing := [name for name in NEEDED if name not in names]:
        yield f"no column {', '.join(map(repr, missing))}"


def _parse(folder: pathlib.Path, line: int, fields: dict, wrong: list[str]) -> Row:
    """The row of some fields, as far as they can be read; the rest to `wrong`."""
    split, patterns = str(fields["split"]), fields["frames"]
    if split not in SPLITS:
        known = ", ".join(SPLITS)
        wrong.append(f"split {split!r}{_suggestion(split, SPLITS)}, not one of {known}")
    pid = _number(fields["pid"], "pid", -1, wrong)
    if pid is not None and pid < 1 and split != "gallery":
        wrong.append(f"pid {pid}: 0 (distractor) and -1 (junk) are for the gallery")
    camid = _number(fields["camid"], "camid", 0, wrong)
    if not isinstance(patterns, list) or not all(
        isinstance(pattern, str) for pattern in patterns
    ):
        wrong.append(f"frames {patterns!r}: not a path or a list of paths")
        patterns = []
    elif not patterns:
        wrong.append("frames: empty")
    images = _expand(folder, patterns, wrong)
    name = fields.get("tracklet") or f"line {line}"
    return Row(line, tuple(patterns), images, pid, camid, split, str(name))


def _number(value: object, column: str, least: int, wrong: list[str]) -> int | None:
    # JSON has numbers, CSV has text.
    if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,20}", value):
        value = int(value)
    if type(value) is int and least <= value <= image_files.LARGEST:
        return value
    wrong.append(
        f"{column} {value!r}: not a whole number from {least} to {image_files.LARGEST}"
    )
    return None


def _expand(folder: pathlib.Path, patterns: list[str], wrong: list[str]) -> list[str]:
    """The files that paths and globs stand for, in natural order."""
    images: list[str] = []
    for pattern in patterns:
        parts = pathlib.PurePath(pattern)
        pattern = parts.as_posix()  # ./a//b is a/b
        if parts.is_absolute() or ".." in parts.parts:
            wrong.append(f"frames {pattern!r}: not a path inside the folder")
        elif (folder / pattern).is_dir():
            wrong.append(f"frames {pattern!r}: a folder (write {pattern}/*.jpg)")
        elif (folder / pattern).is_file():
            images.append(pattern)
        elif glob.has_magic(pattern):
            found = glob.glob(pattern, root_dir=folder, recursive=True)
            found = [path for path in found if not (folder / path).is_dir()]
            for path in found:
                if (folder / path).is_file():
                    images.append(path.replace(os.sep, "/"))
                else:  # a link to nowhere, a pipe
                    wrong.append(f"frames {pattern!r}: {path!r} is no file")
            if not found:
                wrong.append(f"frames {pattern!r}: no file matches")
        else:
            wrong.append(f"frames {pattern!r}: missing")
    once = sorted(set(images), key=image_files.natural_key)
    if len(once) < len(images):
        wrong.append(f"frames: {len(images) - len(once)} are named more than once")
    return once


def _suggestion(name: object, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(str(name).lower(), known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
