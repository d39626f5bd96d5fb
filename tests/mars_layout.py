"""A folder laid out as MARS is published, of any tracklets: for tests."""

import collections
import io
import pathlib
from collections.abc import Iterable

import numpy as np
import PIL.Image
import scipy.io

Tracklet = tuple[str, int, int, list[bytes]]
"""Split (`train`, `query`, `gallery`, `junk`, `distractor`), pid, camid, JPEGs."""


def write_mars_layout(folder: pathlib.Path, tracklets: Iterable[Tracklet]) -> None:
    """Writes `bbox_*`, `info/*.txt` and `info/*.mat` in MARS's layout.

    `camid` counts from 0. Junk is stored as person -1 and distractors as person 0,
    whatever their pid. As in MARS, the lists are sorted by person and camera.
    """
    folder = pathlib.Path(folder)
    parts = {"train": [], "test": []}
    for split, pid, camid, frames in tracklets:
        if not 0 <= camid <= 5:
            raise ValueError(f"camid {camid} is not in 0 to 5, MARS's cameras.")
        pid = {"junk": -1, "distractor": 0}.get(split, pid)
        parts["train" if split == "train" else "test"].append(
            (pid, camid, split, frames)
        )
    (folder / "info").mkdir(parents=True, exist_ok=True)
    query_rows = []
    for part, rows in parts.items():
        names, table = [], []
        numbers = collections.Counter()  # tracklets of a person under a camera
        rows.sort(key=lambda row: row[:2])
        for row, (pid, camid, split, frames) in enumerate(rows, start=1):
            numbers[pid, camid] += 1
            person = "00-1" if pid == -1 else f"{pid:04d}"
            images = folder / f"bbox_{part}" / person
            images.mkdir(parents=True, exist_ok=True)
            table.append((len(names) + 1, len(names) + len(frames), pid, camid + 1))
            for frame, image in enumerate(frames, start=1):
                tracklet = f"{person}C{camid + 1}T{numbers[pid, camid]:04d}"
                names.append(f"{tracklet}F{frame:03d}.jpg")
                (images / names[-1]).write_bytes(image)
            if split == "query":
                query_rows.append(row)
        text = "".join(f"{name}\n" for name in names)
        (folder / "info" / f"{part}_name.txt").write_text(text)
        scipy.io.savemat(
            folder / "info" / f"tracks_{part}_info.mat",
            {f"track_{part}_info": np.array(table, np.int32).reshape(-1, 4)},
        )
    scipy.io.savemat(
        folder / "info" / "query_IDX.mat",
        {"query_IDX": np.array([query_rows], np.uint16)},
    )


def write_clean_labels(
    folder: pathlib.Path, labels: dict[int, tuple[int, int]]
) -> None:
    """Cleaned labels of a folder in MARS's layout.

    `labels` are pid and second id of some rows of the test table, from 1; the others
    keep their pid, which is their second id as well.
    """
    published = scipy.io.loadmat(folder / "info" / "tracks_test_info.mat")
    table = published["track_test_info"]
    table = np.concatenate([table, table[:, 2:3], table[:, 2:3]], axis=1)
    for row, cleaned in labels.items():
        table[row - 1, 4:] = cleaned
    path = folder / "info" / "clean_tracks_test_info.mat"
    scipy.io.savemat(path, {"track_test_info": table})


def tiny_tracklets(num_frames: int = 3) -> list[Tracklet]:
    """A few tracklets of plain JPEGs of 8 x 4 pixels, with every kind of split."""
    return [
        (split, pid, camid, [tiny_jpeg(10 * pid + i) for i in range(num_frames)])
        for split, pid, camid in (
            *(("train", pid, camid) for pid in (1, 3, 5) for camid in (0, 1)),
            *(("query", pid, 0) for pid in (2, 4)),
            *(("gallery", pid, camid) for pid in (2, 4) for camid in (0, 5)),
            ("junk", -1, 2),
            ("distractor", 0, 3),
            ("distractor", 0, 3),
        )
    ]


def tiny_jpeg(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (4, 8), (shade % 256,) * 3).save(buffer, "JPEG")
    return buffer.getvalue()
