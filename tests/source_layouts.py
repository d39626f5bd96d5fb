"""Folders laid out as datasets are published, of tiny images: for tests."""

import functools
import io
import pathlib
import random
from collections.abc import Iterable

import numpy as np
import PIL.Image
import scipy.io


@functools.cache
def tiny_png(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (4, 8), (shade % 256,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def write_shuffled(folder: pathlib.Path, images: dict[str, bytes]) -> None:
    """Writes files in a random order, so that the folder lists them in another."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in random.Random(len(images)).sample(sorted(images), len(images)):
        (folder / name).write_bytes(images[name])


def write_ilids_vid_layout(
    folder: pathlib.Path,
    ls_set: np.ndarray,
    numbers: Iterable[int],
    num_frames: int = 3,
) -> None:
    """i-LIDS-VID with the persons `numbers`; a frame's shade says whose and which."""
    for camera in (1, 2):
        for number in numbers:
            person = f"person{number:03d}"
            write_shuffled(
                folder / "i-LIDS-VID" / "sequences" / f"cam{camera}" / person,
                {
                    f"cam{camera}_{person}_{98 + t:05d}.png": tiny_png(10 * number + t)
                    for t in range(num_frames)
                },
            )
    splits = folder / "train-test people splits"
    splits.mkdir()
    matrix = np.asarray(ls_set, np.float64)  # as published: MATLAB's doubles
    scipy.io.savemat(splits / "train_test_splits_ilidsvid.mat", {"ls_set": matrix})


def write_prid2011_layout(
    folder: pathlib.Path,
    *,
    cam_a: Iterable[int] = range(1, 203),
    cam_b: Iterable[int] = range(1, 206),
    num_frames: int = 2,
) -> None:
    """PRID 2011 with the persons given; numbers beyond 200 are different people."""
    for camera, numbers in (("cam_a", cam_a), ("cam_b", cam_b)):
        for number in numbers:
            write_shuffled(
                folder / "prid_2011" / "multi_shot" / camera / f"person_{number:04d}",
                {
                    f"{t:04d}.png": tiny_png(number + t)
                    for t in range(1, num_frames + 1)
                },
            )


MANIFEST = {
    "anna_0": ("cam0/anna", 1, 0, "train"),
    "anna_1": ("cam1/anna", 1, 1, "train"),
    "bert_0": ("cam0/bert", 2, 0, "query"),
    "bert_1": ("cam1/bert", 2, 1, "gallery"),
    "dog": ("cam1/dog", 0, 1, "gallery"),
}
"""Tracklets of a tracklet folder: folder of the frames, pid, camid, split."""


def write_tracklet_folder(folder: pathlib.Path, num_frames: int = 11) -> None:
    """Frames 1.png, 2.png … 11.png of each tracklet, and `tracklets.csv`."""
    lines = ["frames,pid,camid,split,tracklet"]
    for number, (name, (frames, pid, camid, split)) in enumerate(MANIFEST.items()):
        images = {
            f"{t}.png": tiny_png(20 * number + t) for t in range(1, num_frames + 1)
        }
        write_shuffled(folder / frames, images)
        lines.append(f"{frames}/*.png,{pid},{camid},{split},{name}")
    (folder / "tracklets.csv").write_text("\n".join(lines) + "\n")
