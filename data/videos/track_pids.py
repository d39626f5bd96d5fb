"""Person ids of the tracks of a video."""

import csv
import os
from collections.abc import Collection

from data.sources import checks, image_files
from reid_jax.errors import UserError


def ids(tracks: Collection[int]) -> dict[int, int]:
    """Track id → the same number as its pid.

    Raises UserError for a track 0, as pid 0 is a distractor.
    """
    if 0 in tracks:
        raise UserError(
            "Track 0 cannot have pid 0, which is a distractor's: give pids with --pids."
        )
    return {track_id: track_id for track_id in tracks}


def read(path: str | os.PathLike, tracks: Collection[int]) -> dict[int, int]:
    """Reads the pid of each track from a CSV file with the header `track_id,pid`.

    Raises:
        UserError: lists all lines that are not two whole numbers, name no track of
            `tracks`, or name a track again.
    """
    pids: dict[int, int] = {}
    problems = []
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        try:
            rows = [(reader.line_num, fields) for fields in reader]
        except csv.Error as error:
            raise UserError(f"{path} line {reader.line_num}: {error}.") from None
        header = rows[0][1] if rows else []
        if [field.strip() for field in header] != ["track_id", "pid"]:
            raise UserError(f"{path} line 1: the header has to be track_id,pid.")
        for line, fields in rows[1:]:
            if not fields:
                continue
            place = f"line {line}"
            try:
                track_id, pid = map(int, fields)
            except ValueError:
                problems.append(f"{place}: {','.join(fields)!r} is not track_id,pid")
                continue
            if track_id not in tracks:
                problems.append(f"{place}: there is no track {track_id}")
            elif track_id in pids:
                problems.append(f"{place}: track {track_id} has a pid already")
            else:
                pids[track_id] = pid
    if not pids and not problems:
        problems.append("no track has a pid")
    if problems:
        raise UserError(checks.listed(str(path), problems))
    return pids


def check(pids: dict[int, int], split: str) -> None:
    """Raises a UserError that lists the pids that the split cannot have."""
    minimum = -1 if split == "gallery" else 1
    problems = [
        f"track {track_id}: pid {pid}, not a whole number from {minimum} to "
        f"{image_files.LARGEST}"
        for track_id, pid in pids.items()
        if not minimum <= pid <= image_files.LARGEST
    ]
    if problems:
        raise UserError(checks.listed(f"The split {split}", problems))
