"""Splits of a few tracklets of flat frames."""

import io
import pathlib

import numpy as np
from PIL import Image

from reid_jax.input import datasets, files, frame_cache


def encode(shade: int, kind: str = "PNG", size=(20, 40)) -> bytes:
    image = Image.new("RGB", size, (shade, shade, shade))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def split(folder: pathlib.Path, tracklets) -> frame_cache.Split:
    """A split of (pid, camid, frames) tracklets."""
    examples = [
        {"frames": frames, "pid": pid, "camid": camid, "tracklet": f"{pid}-{i}"}
        for i, (pid, camid, frames) in enumerate(tracklets)
    ]
    return frame_cache.open_split(folder, "train", lambda: examples)


def source(split: frame_cache.Split, config) -> files.FilesSource:
    """A source whose splits are all the same one."""
    dataset = datasets.Dataset(
        train=split, query=split, gallery=split, protocols=("standard",)
    )
    return files.FilesSource(config, dataset)


def five_persons(folder: pathlib.Path):
    """Five persons, two tracklets each but the last; frame t of tracklet i is 10i+t."""
    pids = [7, 7, 3, 3, 9, 9, 4, 4, 2]
    lengths = [1, 5, 3, 9, 2, 4, 6, 3, 2]
    return split(
        folder,
        [
            (pid, i % 2, [encode(10 * i + t) for t in range(n)])
            for i, (pid, n) in enumerate(zip(pids, lengths, strict=True))
        ],
    )


def of_many_sizes(folder: pathlib.Path):
    """Two datasets of four persons, their frames of many sizes."""
    rng = np.random.default_rng(0)

    def frame(*size):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=size).astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    def tracklets():
        for pid in range(1, 5):
            size = *rng.integers(10, 70, 2).tolist(), 3
            yield pid, 0, [frame(*size) for _ in range(pid)]

    return {name: split(folder / name, [*tracklets()]) for name in "ab"}
