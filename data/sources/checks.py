"""What can be wrong with a dataset's source, one line for each problem."""

import contextlib
import contextvars
import io
import os
import pathlib
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence

from PIL import Image

from reid_jax.errors import UserError

NUM_SHOWN = 10
"""Lines that a list of problems or warnings shows, unless all are asked for."""

_shows_all = contextvars.ContextVar("shows_all", default=False)

_PNG = b"\x89PNG\r\n\x1a\n"


class SourceError(UserError):
    """Everything wrong with a dataset's source in one message.

    `problems` holds all of it, one line each; the message counts them and shows the
    first ten, or all of them (`showing`).
    """

    def __init__(self, dataset: str, source: os.PathLike, problems: Iterable[str]):
        self.problems = tuple(problems)
        super().__init__(listed(f"{dataset} in {source}", self.problems))


def listed(subject: str, problems: Sequence[str], noun: str = "problem") -> str:
    """`<subject> has 12 problems; the first 10:` and a line for each of these."""
    count = f"1 {noun}" if len(problems) == 1 else f"{len(problems)} {noun}s"
    shown = problems if _shows_all.get() else problems[:NUM_SHOWN]
    first = f"; the first {NUM_SHOWN}" if len(shown) < len(problems) else ""
    lines = "".join(f"\n  {problem}" for problem in shown)
    return f"{subject} has {count}{first}:{lines}"


@contextlib.contextmanager
def showing(everything: bool):
    """Whether lists leave nothing out while the block runs."""
    token = _shows_all.set(everything)
    try:
        yield
    finally:
        _shows_all.reset(token)


def some(persons: Sequence) -> str:
    """`1, 2, 3`; of more than ten the first, and how many others there are."""
    shown = persons if _shows_all.get() else persons[:NUM_SHOWN]
    text = ", ".join(map(str, shown))
    if others := len(persons) - len(shown):
        text += f" and {others} others"
    return text


def warn(subject: str, warnings: Sequence[str]) -> None:
    """Prints what is odd but no reason to stop: counted, the first ten, to stderr.

    A reader that has gone (`| head`) is no reason either.
    """
    if warnings:
        with contextlib.suppress(BrokenPipeError):
            print(listed(subject, warnings, "warning"), file=sys.stderr, flush=True)


def damage(image: bytes) -> str | None:
    """What is wrong with an encoded image as a file, or None: it is not decoded.

    A JPEG's compressed data cannot hold the end marker FFD9, so that it is whole when
    one follows the start of its last scan (FFDA). A PNG is whole when its chunks lead
    to IEND; those needed to decode it have checksums. What comes after the end
    (padding, a comment of the camera) is no damage. An image is no frame as it
    is when it is larger than `LARGEST_IMAGE`, to be turned by its EXIF orientation, or
    has values of more than 8 bits.
    """
    if not image:
        return "empty"
    if image.startswith(_PNG):
        wrong = _png_damage(image)
    elif not image.startswith(b"\xff\xd8"):
        wrong = "neither JPEG nor PNG"
    elif image.rfind(b"\xff\xd9") <= image.rfind(b"\xff\xda"):
        wrong = "truncated"
    else:
        wrong = None
    return wrong or _header_damage(image)


LARGEST_IMAGE = 7680 * 4320
"""Pixels of an 8K frame: a small file can say that it has thousands of times more."""

_EXIF_ORIENTATION = 0x0112


def _header_damage(image: bytes) -> str | None:
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(image)) as opened,
        ):
            width, height = opened.size
            if width * height > LARGEST_IMAGE:
                return f"{width}×{height} pixels, more than {LARGEST_IMAGE}"
            # Pillow decodes a PNG to look behind its pixels; what is before them is in
            # `info` already.
            exif = opened.info.get("exif", b"")
            orientation = opened.getexif().get(_EXIF_ORIENTATION) if exif else None
            too_deep = beyond_8_bits(opened)
    except Image.DecompressionBombError:
        return f"more than {LARGEST_IMAGE} pixels"
    except Exception as error:  # whatever a damaged header leads Pillow to
        return f"damaged ({error or type(error).__name__})"
    if orientation in range(2, 9):  # some cameras write 0
        return f"to be turned (EXIF orientation {orientation}): save it upright"
    return too_deep


def beyond_8_bits(picture: Image.Image) -> str | None:
    """Whether a picture has values that 8 bits do not hold, in words, or None.

    Pillow cuts those of one channel at 255. Which of them is white, only its owner
    knows: a camera may fill 10 or 12 bits of 16. Pictures of three channels of 16 bits
    are not concerned: all programs take the upper 8.
    """
    if picture.mode.startswith(("I", "F")):
        return f"values of more than 8 bits ({picture.mode}): save it with 8"
    return None


def _png_damage(image: bytes) -> str | None:
    start = len(_PNG)
    while start + 12 <= len(image):
        length = int.from_bytes(image[start : start + 4], "big")
        kind, end = image[start + 4 : start + 8], start + length + 12
        if end > len(image):
            break
        checksum = int.from_bytes(image[end - 4 : end], "big")
        # The first letter of a chunk that is needed is a capital.
        if kind[:1].isupper() and zlib.crc32(image[start + 4 : end - 4]) != checksum:
            return "damaged (checksum)"
        if kind == b"IEND":
            return None
        start = end
    return "truncated"


def missing_files(folder: pathlib.Path, paths: Iterable[str]) -> list[str]:
    """Paths that do not exist; lists each folder once, opens nothing."""
    present: dict[str, frozenset[str]] = {}
    missing = []
    for path in paths:
        parent, _, name = path.rpartition("/")
        if parent not in present:
            try:
                entries = frozenset(os.listdir(folder / parent))
            except (FileNotFoundError, NotADirectoryError):
                entries = frozenset()
            present[parent] = entries
        if name not in present[parent]:
            missing.append(path)
    return missing


def damaged_images(folder: pathlib.Path, paths: Iterable[str]) -> Iterator[str]:
    """Reads the images at `paths`, all of them, and names those that are damaged."""
    for path in paths:
        try:
            wrong = damage((folder / path).read_bytes())
        except OSError as error:
            wrong = f"cannot be read ({error.strerror})"
        if wrong:
            yield f"{path}: {wrong}"
