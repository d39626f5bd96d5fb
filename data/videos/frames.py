"""Reads the frames of a video file, a folder of pictures, or a pattern of names.

for frame in frames.read("street.mp4"):
    frame.number, frame.seconds, frame.image
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from data.videos import pictures
from reid_jax.errors import UserError


class Frame:
    """A frame of a video; its `image` is decoded at first use."""

    number: int
    """Number from 1. For pictures see `pictures.numbered`."""

    seconds: float | None
    """Time since the first frame; None where it is unknown."""

    def __init__(
        self, number: int, seconds: float | None, make: Callable[[], np.ndarray]
    ):
        self.number, self.seconds = number, seconds
        self._make = make

    @functools.cached_property
    def image(self) -> np.ndarray:
        """RGB pixels, uint8 [H, W, 3], upright as players show them.

        Raises UserError for a damaged picture.
        """
        return self._make()


def read(video: str | os.PathLike, *, fps: float | None = None) -> Iterator[Frame]:
    """Yields the frames of a video in order.

    Args:
        video: A video file, a folder of pictures, or a pattern of their names.
        fps: Frame rate of pictures. Frame n then has the time (n - number of the first)
            / fps; without it, None. A file's frames have the times of its container.

    Raises:
        ImportError: `video` is a file, and PyAV is not installed.
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, has no frames, or its pictures have several sizes.
    """
    path = pathlib.Path(video)
    if path.is_dir() or pictures.is_pattern(path):
        return _read_pictures(path, fps)
    return _read_file(path)


def num_frames(video: str | os.PathLike) -> int | None:
    """Number of frames of a video, without decoding it; None where it is unknown.

    For a file it is the number in the header, or else duration times frame rate, which
    may be a little off. Raises as `read`.
    """
    path = pathlib.Path(video)
    if path.is_dir() or pictures.is_pattern(path):
        return len(pictures.numbered(path))
    av = _av()
    try:
        with av.open(os.fspath(path)) as container:
            stream = _stream(path, container)
            if stream.frames:
                return stream.frames
            if container.duration and stream.average_rate:
                return round(container.duration / av.time_base * stream.average_rate)
    except av.error.FFmpegError as error:
        raise _unreadable(path, 0, error) from error
    return None


def _read_pictures(path: pathlib.Path, fps: float | None) -> Iterator[Frame]:
    """Yields a frame for each picture; UserError when pictures differ in size."""
    files = pictures.numbered(path)
    first = next(iter(files))
    sizes: dict[tuple[int, ...], str] = {}

    def make(file: pathlib.Path) -> np.ndarray:
        image = pictures.read(file)
        sizes.setdefault(image.shape[:2], file.name)
        if len(sizes) > 1:
            (size, name), (other, other_name) = sizes.items()
            raise UserError(
                f"{path}: {other_name} has {other[1]}×{other[0]} pixels, {name} "
                f"{size[1]}×{size[0]}: the frames of a video have one size."
            )
        return image

    for number, file in files.items():
        seconds = (number - first) / fps if fps else None
        yield Frame(number, seconds, functools.partial(make, file))


def _read_file(path: pathlib.Path) -> Iterator[Frame]:
    """Yields the frames of a video file, which PyAV decodes."""
    av = _av()
    number, start = 0, None
    try:
        with av.open(os.fspath(path)) as container:
            stream = _stream(path, container)
            stream.thread_type = "AUTO"
            for picture in container.decode(stream):
                number += 1
                if picture.time is not None:
                    start = picture.time if start is None else start
                    seconds = float(picture.time - start)
                else:
                    rate = stream.average_rate
                    seconds = float((number - 1) / rate) if rate else None
                yield Frame(number, seconds, functools.partial(_upright, picture))
    except av.error.FFmpegError as error:
        raise _unreadable(path, number, error) from error
    if number == 0:
        raise UserError(f"{path} has no frames in it.")


def _av():
    """The module PyAV; ImportError with the command that installs it."""
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading videos needs PyAV: pip install av") from error
    return av


def _unreadable(path: pathlib.Path, number: int, error: Exception) -> Exception:
    """The exception to raise for an error of PyAV after frame `number`."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(error.errno, error.strerror, str(path))
    return UserError(f"{path} cannot be read after frame {number}: {error}")


def _stream(path: pathlib.Path, container):
    """The first video stream of an open file; UserError if there is none."""
    if not container.streams.video:
        raise UserError(f"{path} has no video in it.")
    return container.streams.video[0]


def _upright(picture) -> np.ndarray:
    """A decoded frame as RGB, turned as the matrix in the video's header says.

    The matrix maps a stored pixel (x, y) to (a x + c y, b x + d y), up to a shift. It
    is used if it is a turn by a multiple of 90 degrees, mirrored or not.
    """
    image = picture.to_ndarray(format="rgb24")
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5] / 65536
    if max(abs(b), abs(c)) < 0.01 * min(abs(a), abs(d)):
        rows, columns = d, a
    elif max(abs(a), abs(d)) < 0.01 * min(abs(b), abs(c)):
        image = image.swapaxes(0, 1)
        rows, columns = b, c
    else:
        return image
    image = image[:: -1 if rows < 0 else 1, :: -1 if columns < 0 else 1]
    return np.ascontiguousarray(image)
