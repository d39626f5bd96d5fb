"""Lists of tracklets by the beginnings of their frames' paths, as LS-VID has them."""

import dataclasses
import os
import pathlib
import re
from collections import defaultdict

from data.sources import image_files


@dataclasses.dataclass(frozen=True)
class Line:
    """One tracklet: `beginning` is that of the paths of its frames."""

    place: str
    """Where it stands, for messages: file and line."""

    beginning: str
    pid: int


def read(folder: pathlib.Path, name: str, problems: list[str]) -> list[Line]:
    """The lines of a list, those that can be used; the others go to `problems`."""
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
        beginning = parts.as_posix() + "/" * match[1].endswith("/")
        first = lines.setdefault(beginning, Line(place, beginning, int(match[2])))
        if first.place != place:
            problems.append(f"{place}: {beginning!r} is in {first.place} already")
    if not lines and not problems:
        problems.append(f"{name}: no tracklet in it")
    return list(lines.values())


def find_frames(folder: pathlib.Path, beginnings: list[str]) -> dict[str, list[str]]:
    """The images whose paths begin so, in natural order, for each beginning.

    Of several beginnings of a path the longest has it: `0001_10_3_1.jpg` is of
    `0001_10` and not of `0001_1`. A beginning that is a folder has the images in it.
    """
    frames: dict[str, list[str]] = {beginning: [] for beginning in beginnings}
    owners = {}
    for beginning in beginnings:
        is_folder = beginning.endswith("/") or (folder / beginning).is_dir()
        owners[f"{beginning.rstrip('/')}/" if is_folder else beginning] = beginning
    by_folder = defaultdict(set)
    for start in owners:
        parent, _, name = start.rpartition("/")
        by_folder[parent].add(len(name))
    for parent, lengths in by_folder.items():
        try:
            names = os.listdir(folder / parent)
        except (FileNotFoundError, NotADirectoryError):
            continue
        longest_first = sorted(lengths, reverse=True)
        inside = f"{parent}/" if parent else ""
        # A name with a dot in front is hidden; macOS leaves `._0001.png` in archives.
        for name in names:
            if name.startswith(".") or not name.lower().endswith(_IMAGES):
                continue
            starts = (inside + name[:length] for length in longest_first)
            owner = next((owners[start] for start in starts if start in owners), None)
            if owner is not None:
                frames[owner].append(inside + name)
    for images in frames.values():
        images.sort(key=image_files.natural_key)
    return frames


_IMAGES = (".jpg", ".jpeg", ".png")
