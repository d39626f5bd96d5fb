"""The frames of a video file, a folder of pictures or a pattern, one after the other.

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
    """A frame; `image` is made when it is first asked for."""

    number: int
    """Counted from 1. `pictures.numbered` says how pictures are numbered."""

    seconds: float | None
    """Time since the first frame; None where it is not known."""

    def __init__(
        self, number: int, seconds: float | None, make: Callable[[], np.ndarray]
    ):
        self.number, self.seconds = number, seconds
        self._make = make

    @functools.cached_property
    def image(self) -> np.ndarray:
        """uint8 [H, W, 3], RGB, upright: turned as players turn it.

        Raises UserError for a damaged picture.
        """
        return self._make()


def read(video: str | os.PathLike, *, fps: float | None = None) -> Iterator[Frame]:
    """The frames of `video` in order: a file, a folder of pictures, or a pattern.

    A file's frames have the times of its container. Frame n of pictures has the time
    (n - first n) / `fps`, or None without `fps`, which a file does not use.

    Raises:
        ImportError: `video` is a file, and PyAV is not installed.
        FileNotFoundError: there is no such file.
        UserError: it cannot be read, has no frames, or its pictures have several sizes.
    """
    path = pathlib.Path(video)
    if path.is_dir() or pictures.is_pattern(path):
        return _of_pictures(path, fps)
    return _of_file(path)


def num_frames(video: str | os.PathLike) -> int | None:
    """How many frames a video has, without decoding it; None where that is not known.

    For files it is what the header says or, without, the duration times the rate: it
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


def _of_pictures(path: pathlib.Path, fps: float | None) -> Iterator[Frame]:
    files = pictures.numbered(path)
    first = next(iter(files))
    sizes: dict[tuple[int, ...], str] = {}

    def make(file: pathlib.Path) -> np.ndarray:
        image = pictures.read(file)
        sizes.setdefault(image.shape[:2], file.name)
        if len(sizes) > 1:
            (one, one_name), (other, other_name) = sizes.items()
            raise UserError(
                f"{path}: {other_name} has {other[1]}×{other[0]} pixels, {one_name} "
                f"{one[1]}×{one[0]}: the frames of a video have one size."
            )
        return image

    for number, file in files.items():
        seconds = (number - first) / fps if fps else None
        yield Frame(number, seconds, functools.partial(make, file))


def _of_file(path: pathlib.Path) -> Iterator[Frame]:
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
    try:
        import av
    except ImportError as error:
        raise ImportError("Reading videos needs PyAV: pip install av") from error
    return av


def _unreadable(path: pathlib.Path, number: int, error: Exception) -> Exception:
    """What to raise for an error of PyAV after frame `number`."""
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(error.errno, error.strerror, str(path))
    return UserError(f"{path} cannot be read after frame {number}: {error}")


def _stream(path: pathlib.Path, container):
    if not container.streams.video:
        raise UserError(f"{path} has no video in it.")
    return container.streams.video[0]


def _upright(picture) -> np.ndarray:
    """A decoded frame as RGB, turned by the matrix in the video's header if it has one.

    The matrix maps a stored pixel (x, y) to (a x + c y, b x + d y), up to a shift. It
    is used where it is a turn by a multiple of 90 degrees, mirrored or not.
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
