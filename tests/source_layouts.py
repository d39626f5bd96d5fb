"""Folders laid out as datasets are published, of tiny images: for tests."""

import functools
import io
import pathlib
import random
from collections.abc import Iterable

import av
import h5py
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


APPEARANCES = {
    "08-11-2019-1-1": {1: range(1, 7), 2: range(2, 7), 3: range(1, 4)},
    "08-11-2019-1-2": {1: range(3, 6), 2: range(1, 7), 3: range(1, 5), 4: (2, 3)},
    "13-11-2019-2-1": {1: range(1, 6), 5: range(1, 3)},
    "13-11-2019-2-2": {1: range(1, 6), 5: (1, 2, 5, 6), 6: range(2, 7)},
}
"""P-DESTRE's videos: the frames that each id is in."""


def write_p_destre_layout(folder: pathlib.Path, *, width_first: bool = True) -> None:
    """P-DESTRE of `APPEARANCES`: id n is 6 x 12 pixels, of one grey, at (10 n, 8)."""
    for name in ("videos", "annotation", "Splits"):
        (folder / name).mkdir(parents=True)
    size = "6,12" if width_first else "12,6"
    for name, tracks in APPEARANCES.items():
        images = np.zeros((6, 32, 80, 3), np.uint8)
        lines = []
        for track_id, frames in tracks.items():
            for frame in frames:
                left = 10 * track_id
                images[frame - 1, 8:20, left : left + 6] = 30 * track_id + 10
                lines.append(f"{frame},{track_id},{left},8,{size}{_P_DESTRE_REST}")
        lines += [f"{frame},-1,0,0,{size}{_P_DESTRE_REST}" for frame in (1, 2)]
        random.Random(0).shuffle(lines)
        (folder / "annotation" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (folder / "annotation" / f"._{name}.txt").write_bytes(b"\0\5\x16\7")
        write_video(folder / "videos" / f"{name}.MP4", images)
    for number in range(5):
        for split, name in (
            ("Train", "13-11-2019-2-1\n13-11-2019-2-2"),
            ("Query", "08-11-2019-1-1"),
            ("Gallery", "08-11-2019-1-2"),
        ):
            (folder / "Splits" / f"{split}_{number}.txt").write_text(name + "\n")


_P_DESTRE_REST = ",1,-1,-1,-1" + ",0" * 15


MARKET = {
    "bounding_box_train": [(2, 1), (2, 3), (7, 1), (7, 2), (7, 2)],
    "query": [(3, 1), (3, 6), (5, 2)],
    "bounding_box_test": [(3, 1), (3, 6), (5, 2), (5, 4), (0, 1), (0, 2), (-1, 5)],
}
"""Pictures in Market-1501's layout: person and camera from 1."""


def write_market_layout(folder: pathlib.Path) -> None:
    """The pictures of `MARKET`, named as there; a shade says whose each is."""
    for number, (inside, pictures) in enumerate(MARKET.items()):
        images = {}
        for frame, (pid, camera) in enumerate(pictures):
            person = "-1" if pid == -1 else f"{pid:04d}"
            # As published: the number of a picture's frame, then that of its box.
            name = f"{person}_c{camera}s{number + 1}_{451 + frame:06d}_03.png"
            images[name] = tiny_png(30 * pid + frame)
        write_shuffled(folder / inside, images)


LS_VID = {
    "train": [(1, 3, 1), (1, 15, 2), (4, 3, 1), (4, 7, 2), (4, 7, 3)],
    "test": [(2, 1, 1), (2, 12, 2), (3, 4, 2), (3, 2, 1), (3, 2, 10), (5, 6, 1)],
}
"""Tracklets of LS-VID's lists: person, camera from 1, number."""

LS_VID_QUERY = (1, 4, 5)
"""Rows of the test list, from 1, that are queries."""


def write_ls_vid_layout(folder: pathlib.Path, num_frames: int = 3) -> None:
    """LS-VID with the tracklets of `LS_VID`; a frame's shade says whose and which."""
    (folder / "list_sequence").mkdir(parents=True)
    for part, tracklets in LS_VID.items():
        lines, images = [], {}
        for pid, camera, number in tracklets:
            start = f"{pid:04d}_{number}"
            lines.append(f"tracklet_{part}/{pid:04d}/{start} {pid}\n")
            # The unpadded numbers: 0003_1_2_9 and 0003_10_2_9 begin alike.
            for t in range(8, 8 + num_frames):
                name = f"{start}_{camera}_{t}.png"
                images.setdefault(pid, {})[name] = tiny_png(30 * pid + t)
        for pid, of_person in images.items():
            write_shuffled(folder / f"tracklet_{part}" / f"{pid:04d}", of_person)
        (folder / "list_sequence" / f"list_seq_{part}.txt").write_text("".join(lines))
    (folder / "test" / "data").mkdir(parents=True)
    matrix = np.array(LS_VID_QUERY, np.float64).reshape(-1, 1)
    write_matlab_7_3(folder / "test" / "data" / "info_test.mat", {"query": matrix})


def write_matlab_7_3(path: pathlib.Path, matrices: dict[str, np.ndarray]) -> None:
    """Writes HDF5 as MATLAB does: half a kilobyte in front, and reversed axes."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, matrix in matrices.items():
            file[name] = matrix.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")


def write_video(path: pathlib.Path, images: np.ndarray) -> None:
    """Encodes frames, uint8 [T, H, W, 3], without loss (also as .MP4)."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "bgr0"
        for image in images:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
