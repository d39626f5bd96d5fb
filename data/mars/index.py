"""Reads MARS as published: its index, checked against the files, and its splits.

Source: Zheng et al., "MARS: A Video Benchmark for Large-Scale Person
Re-identification", ECCV 2016, and the index files of its evaluation code.
"""

import dataclasses
import itertools
import pathlib
import re
from collections import Counter
from collections.abc import Iterable

import numpy as np

from data.mars import clean_labels, index_checks
from data.sources import checks
from data.sources.image_files import FileTracklet
from data.sources.matlab import read_matrix

LAYOUT = """\
MARS comes from its authors: bbox_train and bbox_test from the page of the dataset,
the folder info/ from their evaluation code (MARS-evaluation). DIR then holds
  bbox_train/<pid>/<image>.jpg   e.g. bbox_train/0001/0001C1T0001F001.jpg
  bbox_test/<pid>/<image>.jpg    <pid> 00-1 is junk, 0000 distractors
  info/train_name.txt  info/test_name.txt
  info/tracks_train_info.mat  info/tracks_test_info.mat  info/query_IDX.mat
  info/clean_tracks_test_info.mat, if you have it, for the protocol `clean`
Building it needs about twice the disk space of DIR, for a while."""

_IMAGE_NAME = re.compile(r"(\d{4}|00-1)C([1-6])T\d+F\d+\.jpg")


@dataclasses.dataclass(frozen=True)
class Tables:
    """The three published tables.

    Attributes:
        train: A row for each training tracklet [N, 4]: first and last image (from 1,
            both included) in the list of names, pid, camera (1 to 6).
        test: The same for the test tracklets.
        query: Rows of `test` that are queries, from 0.
    """

    train: np.ndarray
    test: np.ndarray
    query: np.ndarray


def read_tables(info: pathlib.Path) -> Tables:
    """Reads the .mat files of `info/`; SourceError unless all three can be used."""
    problems: list[str] = []
    train = read_matrix(info / "tracks_train_info.mat", "track_train_info", problems)
    test = read_matrix(info / "tracks_test_info.mat", "track_test_info", problems)
    query = read_matrix(info / "query_IDX.mat", "query_IDX", problems)
    for name, table in (("train", train), ("test", test)):
        if table is not None and (table.shape[1:] != (4,) or not len(table)):
            problems.append(
                f"info/tracks_{name}_info.mat: shape {table.shape}, expected "
                "[tracklets, 4]: first image, last image, pid, camera"
            )
    if query is not None and not query.size:
        problems.append("info/query_IDX.mat: empty")
    if problems:
        raise checks.SourceError("MARS", info.parent, problems)
    return Tables(train, test, query.ravel() - 1)


def split_rows(tables: Tables) -> dict[str, np.ndarray]:
    """Rows of each split, from 0: of `tables.train` for `train`, else of `tables.test`.

    `gallery` has neither the queries nor junk (pid -1); distractors (pid 0) stay. It is
    the gallery of the papers' tables. MARS's gallery has the queries, too; the protocol
    "official" adds them when it scores.
    """
    is_gallery = tables.test[:, 2] != -1
    is_gallery[tables.query] = False
    return {
        "train": np.arange(len(tables.train)),
        "query": tables.query,
        "gallery": np.flatnonzero(is_gallery),
    }


def tracklet_names(table: np.ndarray, names: list[str]) -> list[str]:
    """Name of each row: that of its first image up to the frame number, `0001C1T0001`.

    Rows with the same name get their row number (from 1) after it.
    """
    prefixes = [names[first - 1].rpartition("F")[0] for first in table[:, 0]]
    count = Counter(prefixes)
    return [
        prefix if count[prefix] == 1 else f"{prefix}-row{row}"
        for row, prefix in enumerate(prefixes, start=1)
    ]


def read_splits(folder: pathlib.Path) -> dict[str, list[FileTracklet]]:
    """The tracklets of `train`, `query` and `gallery`, in the published order.

    Checks the whole index, and that every image in it exists, junk included. Opens
    images only where there is a problem, to report all damaged ones with it.

    Raises:
        SourceError: lists what is missing, misnamed or contradicts the tables.
    """
    folder = pathlib.Path(folder)
    problems = [
        f"bbox_{part}: missing folder"
        for part in ("train", "test")
        if not (folder / f"bbox_{part}").is_dir()
    ]
    names = {}
    for part in ("train", "test"):
        names[part] = _read_names(folder / "info" / f"{part}_name.txt", problems)
    try:
        tables = read_tables(folder / "info")
    except checks.SourceError as error:
        problems += error.problems
    if problems:
        raise checks.SourceError("MARS", folder, problems)

    listed = []
    for part in ("train", "test"):
        pids, cameras = _parse_names(names[part])
        problems += [
            f"info/{part}_name.txt line {line + 1}: {names[part][line]!r} is not a "
            "name like 0001C1T0001F001.jpg"
            for line in np.flatnonzero(pids == index_checks.NO_PERSON)
        ]
        problems += index_checks.table_problems(
            part, getattr(tables, part), pids, cameras
        )
        is_name = (pids != index_checks.NO_PERSON).tolist()
        listed += _paths(part, itertools.compress(names[part], is_name))
    missing = checks.missing_files(folder, listed)
    problems += [f"{path}: missing" for path in missing]
    problems += index_checks.query_problems(tables.query, tables.test)
    clean_labels.read(folder / "info", tables.test, problems)
    if problems:
        present = dict.fromkeys(listed)
        for path in missing:
            present.pop(path, None)
        problems += checks.damaged_images(folder, present)
        raise checks.SourceError("MARS", folder, problems)

    splits = {}
    for split, rows in split_rows(tables).items():
        part = "train" if split == "train" else "test"
        table = getattr(tables, part)
        titles = tracklet_names(table, names[part])
        splits[split] = [
            FileTracklet(
                titles[row],
                pid=int(table[row, 2]),
                camid=int(table[row, 3]) - 1,
                images=_paths(part, names[part][table[row, 0] - 1 : table[row, 1]]),
            )
            for row in rows
        ]
    return splits


def read_clean_labels(folder: pathlib.Path) -> dict[str, list[int]] | None:
    """Test tracklet → cleaned pid and second id; None without the file.

    `folder` must have passed `read_splits`.
    """
    names = _read_names(folder / "info" / "test_name.txt", [])
    test = read_tables(folder / "info").test
    labels = clean_labels.read(folder / "info", test, [])
    if labels is None:
        return None
    return dict(zip(tracklet_names(test, names), labels.tolist(), strict=True))


def _read_names(path: pathlib.Path, problems: list[str]) -> list[str]:
    """The lines of a list of image names; on failure [], and a line in `problems`."""
    if not path.is_file():
        problems.append(f"info/{path.name}: missing")
        return []
    text = path.read_text(encoding="utf-8", errors="replace").rstrip()
    if not text:
        problems.append(f"info/{path.name}: empty")
    return [line.strip() for line in text.splitlines()]


def _parse_names(names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Pid and camera (1 to 6) in each image's name; pid NO_PERSON in a bad name."""
    pids = np.full(len(names), index_checks.NO_PERSON)
    cameras = np.zeros(len(names), int)
    for number, name in enumerate(names):
        match = _IMAGE_NAME.fullmatch(name)
        if match:
            pids[number] = -1 if match[1] == "00-1" else int(match[1])
            cameras[number] = int(match[2])
    return pids, cameras


def _paths(part: str, names: Iterable[str]) -> list[str]:
    """Paths of the images with these names, in the folders of their persons."""
    return [f"bbox_{part}/{name[:4]}/{name}" for name in names]
