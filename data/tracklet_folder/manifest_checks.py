"""Checks between the rows of a manifest; each problem is one line."""

import functools
import os
import pathlib
from collections import defaultdict
from collections.abc import Iterator

from data.sources import checks, image_files
from data.tracklet_folder.manifest import SPLITS, Row


def problems_between(path: pathlib.Path, rows: list[Row]) -> Iterator[str]:
    """Yields repeated rows, shared frames, persons on both sides, missing splits."""
    manifest, folder = path.name, path.parent
    unique = []
    first_with: dict[object, Row] = {}
    for row in rows:
        key = row.patterns, row.pid, row.camid, row.split
        first = first_with.setdefault(key, row)
        if first is row:
            unique.append(row)
        else:
            yield f"{manifest} line {row.line}: the same as line {first.line}"
    yield from _repeated_names(manifest, unique)
    yield from _shared_frames(manifest, folder, unique)
    yield from _persons_on_both_sides(manifest, unique)
    for split in SPLITS:
        if split != "train" and rows and not any(row.split == split for row in rows):
            yield f"{manifest}: no tracklet has the split {split!r}"


def warnings_between(manifest: str, rows: list[Row]) -> Iterator[str]:
    """Yields queries without a match, gaps between frames, persons under one camera."""
    if {row.split for row in rows} == {"query", "gallery"}:
        yield f"{manifest}: no tracklet to train on: it can be scored only"
    cameras = defaultdict(set)
    for row in rows:
        if row.split == "gallery":
            cameras[row.pid].add(row.camid)
    unmatched_lines = {
        row.line
        for row in rows
        if row.split == "query" and row.pid and not cameras[row.pid] - {row.camid}
    }
    num_queries = sum(row.split == "query" for row in rows)
    if num_queries and len(unmatched_lines) == num_queries:
        yield (
            f"{manifest}: none of {num_queries} queries has its person in the gallery "
            "under another camera, so that nothing can be scored, nor trained on: give "
            "each camera its own camid"
        )
        unmatched_lines.clear()
    for row in rows:
        if row.line in unmatched_lines:
            yield (
                f"{manifest} line {row.line}: person {row.pid} is in the gallery under "
                f"no camera other than {row.camid}, so that this query does not count"
            )
        for gap in image_files.gaps(row.images):
            yield f"{manifest} line {row.line}: {gap}"
    camids_by_pid = defaultdict(set)
    for row in rows:
        if row.split == "train":
            camids_by_pid[row.pid].add(row.camid)
    if seen_once := [pid for pid, camids in camids_by_pid.items() if len(camids) == 1]:
        yield (
            f"{manifest}: {len(seen_once)} of {len(camids_by_pid)} persons "
            f"of train are under one camera only: {checks.shortened(seen_once)}"
        )


def _repeated_names(manifest: str, rows: list[Row]) -> Iterator[str]:
    """Yields rows whose tracklet has the name of an earlier one."""
    lines: dict[str, int] = {}
    for row in rows:
        first = lines.setdefault(row.name, row.line)
        if first != row.line:
            yield (
                f"{manifest} line {row.line}: tracklet {row.name!r} is the name of "
                f"line {first} already"
            )


def _shared_frames(
    manifest: str, folder: pathlib.Path, rows: list[Row]
) -> Iterator[str]:
    # Links can give a folder or file another name.
    """Yields rows with frames of an earlier row."""
    real_folder = functools.cache(lambda path: os.path.realpath(folder / path))
    first_line_with: dict[str, int] = {}
    for row in rows:
        shared = defaultdict(list)
        for image in row.images:
            parent, _, name = image.rpartition("/")
            place = f"{real_folder(parent)}/{name}"
            if os.path.islink(place):
                place = os.path.realpath(place)
            first = first_line_with.setdefault(place, row.line)
            if first != row.line:
                shared[first].append(image)
        for first, images in shared.items():
            yield (
                f"{manifest} line {row.line}: {len(images)} of its frames are in line "
                f"{first} already, the first is {images[0]}"
            )


def _persons_on_both_sides(manifest: str, rows: list[Row]) -> Iterator[str]:
    """Yields test rows whose person is in training, too."""
    training = {row.pid: row.line for row in reversed(rows) if row.split == "train"}
    training.pop(None, None)
    for row in rows:
        if row.split in ("query", "gallery") and row.pid in training:
            yield (
                f"{manifest} line {row.line}: person {row.pid} is in {row.split}, but "
                f"in train in line {training[row.pid]}"
            )
