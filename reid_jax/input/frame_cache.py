"""The frame cache: one flat file of a split's encoded frames, for random access.

The files of the prepared dataset hold whole tracklets of hundreds of frames, of which a
clip needs four.
"""

import abc
import dataclasses
import functools
import hashlib
import io
import mmap
import os
import pathlib
from collections.abc import Iterable

import numpy as np
from PIL import Image

from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.input import joining


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split(abc.ABC):
    """The tracklets of one split; their frames are read on request.

    - `names`, `pids`, `camids`, `num_frames`: one entry per tracklet.
    - `sizes` [frames, 2]: height and width of each frame, tracklet after tracklet; 0
      for a frame that is no image.
    - `path`: where the frames are.
    """

    names: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    num_frames: np.ndarray
    sizes: np.ndarray
    path: pathlib.Path

    def __len__(self) -> int:
        return len(self.names)

    @functools.cached_property
    def first_frame(self) -> np.ndarray:
        """Number of each tracklet's first frame among all frames of the split."""
        return np.concatenate([[0], np.cumsum(self.num_frames)[:-1]])

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the tracklets and of the encoded sizes of their frames."""
        digest = hashlib.sha256()
        for array in (self.names, self.pids, self.camids, self.num_frames):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(self._encoded_sizes())
        return digest.hexdigest()[:16]

    @abc.abstractmethod
    def _encoded_sizes(self) -> bytes:
        """Bytes that change when the encoded size of a frame changes."""

    @abc.abstractmethod
    def frame_at(self, frame_id: int) -> bytes:
        """Reads the encoded image (JPEG or PNG) of a frame by its number among all.

        Raises:
            UserError: the file of the frames is empty.
        """

    def frame(self, tracklet: int, index: int | np.integer) -> bytes:
        """Reads the encoded image of frame `index` of a tracklet."""
        return self.frame_at(int(self.first_frame[tracklet] + index))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CachedSplit(Split):
    """A split whose frames are one file, `path`."""

    offsets: np.ndarray  # position of every frame's first byte, and the file's end

    def _encoded_sizes(self) -> bytes:
        return self.offsets.tobytes()

    @functools.cached_property
    def _bytes(self) -> mmap.mmap:
        if not self.path.stat().st_size:
            raise UserError(
                f"{self.path} is empty. Delete {self.path.parent}: the next start "
                "writes it again."
            )
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def frame_at(self, frame_id: int) -> bytes:
        start, end = self.offsets[frame_id : frame_id + 2].tolist()
        return self._bytes[start:end]


@dataclasses.dataclass(frozen=True, kw_only=True)
class JoinedSplit(Split):
    """Several splits, one after the other; `parts` read the frames."""

    parts: tuple[Split, ...]

    def _encoded_sizes(self) -> bytes:
        return "".join(part.fingerprint for part in self.parts).encode()

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        """Number of each part's first frame, and the number of all frames."""
        return np.cumsum([0, *(len(part.sizes) for part in self.parts)])

    def frame_at(self, frame_id: int) -> bytes:
        if not 0 <= frame_id < len(self.sizes):
            raise IndexError(f"frame {frame_id} of {len(self.sizes)}")
        number = int(np.searchsorted(self._starts, frame_id, side="right")) - 1
        return self.parts[number].frame_at(frame_id - int(self._starts[number]))


def join(splits: dict[str, Split]) -> JoinedSplit:
    """Joins splits, with the labels of `joining.join_labels`."""
    parts = tuple(splits.values())
    return JoinedSplit(
        **joining.join_labels(splits)._asdict(),
        sizes=np.concatenate([split.sizes for split in parts]),
        path=pathlib.Path(os.path.commonpath([split.path for split in parts])),
        parts=parts,
    )


def open_split(folder: pathlib.Path, split: str, read_examples) -> CachedSplit:
    """Opens the cache of a split in `folder`; writes it first if it is missing.

    `read_examples()` yields the dataset's examples (`data/tracklets.py`); it is called
    only to write the cache.

    Raises:
        UserError: the cache cannot be written.
    """
    index, frames = _files(folder, split)
    if not is_there(folder, split):
        _write(index, frames, read_examples())
    with np.load(index) as arrays:
        return CachedSplit(**arrays, path=frames)


def is_there(folder: pathlib.Path, split: str) -> bool:
    """Whether the split is cached; a cache of an old version without sizes is not."""
    index, _ = _files(folder, split)
    if not index.exists():
        return False
    with np.load(index) as arrays:
        return "sizes" in arrays


def _files(folder: pathlib.Path, split: str) -> tuple[pathlib.Path, pathlib.Path]:
    return folder / f"{split}.index.npz", folder / f"{split}.frames"


def _write(index: pathlib.Path, frames: pathlib.Path, examples: Iterable[dict]) -> None:
    try:
        # The frames are renamed first, so that a cache with an index is complete.
        with files.write_whole(index) as new_index, files.write_whole(frames) as new:
            rows, lengths, sizes = _write_frames(new, examples)
            names, pids, camids, num_frames = (
                zip(*rows, strict=True) if rows else ((),) * 4
            )
            np.savez(
                new_index,
                names=np.asarray(names, np.str_),
                pids=np.asarray(pids, np.int64),
                camids=np.asarray(camids, np.int64),
                num_frames=np.asarray(num_frames, np.int64),
                offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
                sizes=np.asarray(sizes, np.int32).reshape(-1, 2),
            )
    except BaseException as error:
        if not files.is_full_error(error):
            raise
        raise UserError(
            f"No space left for the frame cache in {frames.parent}; nothing of it was "
            "kept. Free some space, or prepare the dataset in another "
            "--config.data.data_dir."
        ) from None


def _write_frames(
    path: pathlib.Path, examples: Iterable[dict]
) -> tuple[list[tuple], list[int], list[tuple[int, int]]]:
    """Writes all frames into one file.

    Returns:
        (name, pid, camid, number of frames) of each tracklet, and the length in bytes
        and the size (height, width) of each frame.
    """
    rows, lengths, sizes = [], [], []
    with path.open("wb") as file:
        for example in examples:
            encoded = [bytes(frame) for frame in example["frames"]]
            file.writelines(encoded)
            lengths.extend(map(len, encoded))
            sizes.extend(map(_size, encoded))
            name = example["tracklet"]
            name = name.decode() if isinstance(name, bytes) else str(name)
            rows.append((name, example["pid"], example["camid"], len(encoded)))
    return rows, lengths, sizes


def _size(encoded: bytes) -> tuple[int, int]:
    """Height and width in pixels; 0, 0 for no image, which decoding will report."""
    try:
        width, height = Image.open(io.BytesIO(encoded)).size
    except (OSError, SyntaxError, ValueError):
        return 0, 0
    return height, width
