"""Checks of MARS's index; each problem is one line."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

NO_PERSON = -2
"""Pid of an image whose name cannot be parsed."""


def table_problems(
    part: str, table: np.ndarray, pids: np.ndarray, cameras: np.ndarray
) -> Iterator[str]:
    """Yields rows out of range, and rows whose images are not one person and camera.

    Args:
        part: "train" or "test".
        table: The table of its tracklets [N, 4]; see `index.Tables`.
        pids: Pid in each image's name.
        cameras: Camera in each image's name.
    """
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
            continue  # `index.read_splits` reports the names
        if row_pids != {pid}:
            values = ", ".join(map(str, sorted(row_pids)))
            yield f"{row}: pid {pid}, but its images' names say {values}"
        if row_cameras != {camera}:
            values = ", ".join(map(str, sorted(row_cameras)))
            yield f"{row}: camera {camera}, but its images' names say {values}"


def query_problems(query: np.ndarray, test: np.ndarray) -> Iterator[str]:
    """Yields queries (rows of `test`, from 0) that are absent, repeated or nobody."""
    num_rows, count = len(test), Counter(query.tolist())
    for row, times in count.items():
        place = f"info/query_IDX.mat: row {row + 1} of the test table"
        if not 0 <= row < num_rows:
            yield f"{place} does not exist: it has 1 to {num_rows}"
        elif test[row, 2] < 1:
            yield f"{place} is no person: pid {test[row, 2]}"
        if times > 1:
            yield f"{place} is listed {times} times"
