"""What can be wrong with MARS's index, one line for each problem."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

NO_PERSON = -2
"""The pid of an image whose name does not parse."""


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
