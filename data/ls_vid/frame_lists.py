"""Reads lists of tracklets as in LS-VID: a line is the prefix of the frames' paths."""

import dataclasses
import os
import pathlib
import re
from collections import defaultdict

from data.sources import image_files


@dataclasses.dataclass(frozen=True)
class Line:
    """One tracklet of a list.

    Attributes:
        place: File and line, for messages.
        prefix: The beginning that the paths of its frames share.
        pid: Person id.
    """

    place: str
    prefix: str
    pid: int


def read(folder: pathlib.Path, name: str, problems: list[str]) -> list[Line]:
    """The usable lines of a list; the others go to `problems`."""
    path = folder / name
    if not path.is_file():
        problems.append(f"{name}: missing")
        return []
    lines: dict[str, Line] = {}
    text = path.read_text(encoding="utf-8", errors="replace")
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip():
            continue
        place = f"{name} line {number}"
        match = re.fullmatch(r"\s*(\S.*?)\s+(-?[0-9]{1,9})\s*", row)
        if match is None:
            problems.append(f"{place}: {row!r} is not a path and a person")
            continue
        parts = pathlib.PurePosixPath(match[1])
        if parts.is_absolute() or ".." in parts.parts:
            problems.append(f"{place}: {match[1]!r} is not a path inside the folder")
            continue
        prefix = parts.as_posix() + "/" * match[1].endswith("/")
        first = lines.setdefault(prefix, Line(place, prefix, int(match[2])))
        if first.place != place:
            problems.append(f"{place}: {prefix!r} is in {first.place} already")
    if not lines and not problems:
        problems.append(f"{name}: no tracklet in it")
    return list(lines.values())


def find_frames(folder: pathlib.Path, prefixes: list[str]) -> dict[str, list[str]]:
    """The images whose paths start with each prefix, in natural order.

    Among several prefixes of a path, the longest counts: `0001_10_3_1.jpg` belongs to
    `0001_10`, not to `0001_1`. A prefix that is a folder has all images in it.
    """
    frames: dict[str, list[str]] = {prefix: [] for prefix in prefixes}
    prefix_of = {}
    for prefix in prefixes:
        is_folder = prefix.endswith("/") or (folder / prefix).is_dir()
        prefix_of[f"{prefix.rstrip('/')}/" if is_folder else prefix] = prefix
    by_folder = defaultdict(set)
    for start in prefix_of:
        parent, _, name = start.rpartition("/")
        by_folder[parent].add(len(name))
    for parent, lengths in by_folder.items():
        try:
            names = os.listdir(folder / parent)
        except (FileNotFoundError, NotADirectoryError):
            continue
        longest_first = sorted(lengths, reverse=True)
        parent_path = f"{parent}/" if parent else ""
        # macOS leaves hidden files such as `._0001.png` in archives.
        for name in names:
            if name.startswith(".") or not name.lower().endswith(_IMAGES):
                continue
            starts = (parent_path + name[:length] for length in longest_first)
            longest = next(
                (prefix_of[start] for start in starts if start in prefix_of), None
            )
            if longest is not None:
                frames[longest].append(parent_path + name)
    for images in frames.values():
        images.sort(key=image_files.natural_key)
    return frames


_IMAGES = (".jpg", ".jpeg", ".png")
