"""What can be wrong with a MARS folder, one line for each problem."""

import os
import pathlib
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np

NUM_SHOWN = 10

NO_PERSON = -2
"""The pid of an image whose name does not parse."""


class MarsError(ValueError):
    """Everything wrong with a MARS folder in one message.

    `problems` holds all of it, one line each; the message counts them and shows the
    first ten.
    """

    def __init__(self, folder: pathlib.Path, problems: list[str]):
        self.problems = tuple(problems)
        shown = problems[:NUM_SHOWN]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        first = f"; the first {len(shown)}" if len(problems) > len(shown) else ""
        lines = "".join(f"\n  {problem}" for problem in shown)
        super().__init__(f"MARS in {folder} has {count}{first}:{lines}")


def table_problems(
    part: str, table: np.ndarray, pids: np.ndarray, cameras: np.ndarray
) -> Iterator[str]:
    """Rows out of range, and rows whose images are not one person in one camera."""
    for number, (first, last, pid, camera) in enumerate(table.tolist(), start=1):
        row = f"info/tracks_{part}_info.mat row {number}"
        if not 1 <= first <= last <= len(pids):
            yield (
                f"{row}: images {first} to {last} are not in 1 to {len(pids)}, "
                f"the lines of {part}_name.txt"
            )
            continue
        if part == "train" and pid < 1:
            yield f"{row}: pid {pid} is no person to train on"
        row_pids = set(pids[first - 1 : last].tolist())
        row_cameras = set(cameras[first - 1 : last].tolist())
        if NO_PERSON in row_pids:
            continue  # reported with the names
        if row_pids != {pid}:
            found = ", ".join(map(str, sorted(row_pids)))
            yield f"{row}: pid {pid}, but its images' names say {found}"
        if row_cameras != {camera}:
            found = ", ".join(map(str, sorted(row_cameras)))
            yield f"{row}: camera {camera}, but its images' names say {found}"


def query_problems(query: np.ndarray, test: np.ndarray) -> Iterator[str]:
    """Queries (rows of `test`, from 0) that do not exist, are no person, or repeat."""
    num_rows, count = len(test), Counter(query.tolist())
    for row, times in count.items():
        place = f"info/query_IDX.mat: row {row + 1} of the test table"
        if not 0 <= row < num_rows:
            yield f"{place} does not exist: it has 1 to {num_rows}"
        elif test[row, 2] < 1:
            yield f"{place} is no person: pid {test[row, 2]}"
        if times > 1:
            yield f"{place} is listed {times} times"


def damage(image: bytes) -> str | None:
    """What is wrong with an encoded image as a file, or None: it is not decoded.

    A JPEG's compressed data cannot hold the end marker FFD9, so that it is whole when
    one follows the start of its last scan (FFDA). What comes after the end marker
    (padding, a comment of the camera) is no damage.
    """
    if not image:
        return "empty"
    if not image.startswith(b"\xff\xd8"):
        return "not a JPEG"
    if image.rfind(b"\xff\xd9") <= image.rfind(b"\xff\xda"):
        return "truncated"
    return None


def missing_images(folder: pathlib.Path, paths: list[str]) -> list[str]:
    """Paths that do not exist; lists each person's folder once, opens nothing."""
    present: dict[str, frozenset[str]] = {}
    missing = []
    for path in paths:
        person, _, name = path.rpartition("/")
        if person not in present:
            try:
                entries = frozenset(os.listdir(folder / person))
            except (FileNotFoundError, NotADirectoryError):
                entries = frozenset()
            present[person] = entries
        if name not in present[person]:
            missing.append(path)
    return missing


def damaged_images(folder: pathlib.Path, paths: Iterable[str]) -> Iterator[str]:
    """Reads the images at `paths`, all of them, and names those that are damaged."""
    for path in paths:
        try:
            wrong = damage((folder / path).read_bytes())
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            yield f"{path}: {wrong}"
