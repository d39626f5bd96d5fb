"""Checks of a dataset's source; each problem is one line."""

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
"""Lines that a list of problems or warnings shows by default."""

_shows_all = contextvars.ContextVar("shows_all", default=False)

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class SourceError(UserError):
    """Everything wrong with a dataset's source, in one message.

    `problems` has all of it, one line each. The message counts them and shows the first
    ten, or all of them inside `showing(True)`.
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
    """Lets lists show everything while the block runs, or only the first ten."""
    token = _shows_all.set(everything)
    try:
        yield
    finally:
        _shows_all.reset(token)


def shortened(items: Sequence) -> str:
    """`1, 2, 3`; of more than ten, the first ten and the number of the others."""
    shown = items if _shows_all.get() else items[:NUM_SHOWN]
    text = ", ".join(map(str, shown))
    if num_others := len(items) - len(shown):
        text += f" and {num_others} others"
    return text


def warn(subject: str, warnings: Sequence[str]) -> None:
    """Prints warnings to stderr: their number and the first ten.

    A reader that has gone (`| head`) is no error.
    """
    if warnings:
        with contextlib.suppress(BrokenPipeError):
            print(listed(subject, warnings, "warning"), file=sys.stderr, flush=True)


def damage(image: bytes) -> str | None:
    """Describes what is wrong with an encoded image, or returns None; decodes nothing.

    - JPEG: compressed data cannot hold the end marker FFD9. So the file is whole when
      one follows the start of the last scan (FFDA).
    - PNG: the file is whole when its chunks lead to IEND and the needed ones have the
      right checksums.
    - What comes after the end (padding, a comment of the camera) is no damage.
    - An image cannot be a frame when it is larger than `LARGEST_IMAGE`, must be turned
      by its EXIF orientation, or has values of more than 8 bits.
    """
    if not image:
        return "empty"
    if image.startswith(_PNG_SIGNATURE):
        problem = _png_damage(image)
    elif not image.startswith(b"\xff\xd8"):
        problem = "neither JPEG nor PNG"
    elif image.rfind(b"\xff\xd9") <= image.rfind(b"\xff\xda"):
        problem = "truncated"
    else:
        problem = None
    return problem or _header_damage(image)


LARGEST_IMAGE = 7680 * 4320
"""Pixels of an 8K frame. A small file can claim thousands of times more."""

_EXIF_ORIENTATION = 0x0112


def _header_damage(image: bytes) -> str | None:
    """Describes what an image's header says is wrong, or returns None."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(image)) as opened,
        ):
            width, height = opened.size
            if width * height > LARGEST_IMAGE:
                return f"{width}×{height} pixels, more than {LARGEST_IMAGE}"
            # `getexif` would decode a PNG to find EXIF data after its pixels; `info`
            # has what stands before them.
            exif = opened.info.get("exif", b"")
            orientation = opened.getexif().get(_EXIF_ORIENTATION) if exif else None
            too_deep = beyond_8_bits(opened)
    except Image.DecompressionBombError:
        return f"more than {LARGEST_IMAGE} pixels"
    except Exception as error:  # a damaged header can cause any error in Pillow
        return f"damaged ({error or type(error).__name__})"
    if orientation in range(2, 9):  # 1 is upright, and some cameras write 0
        return f"to be turned (EXIF orientation {orientation}): save it upright"
    return too_deep


def beyond_8_bits(picture: Image.Image) -> str | None:
    """Says, in words, that a picture has values that 8 bits do not hold; None if not.

    Pillow cuts the values of one-channel pictures at 255. Which value is white, only
    the owner knows: a camera may fill 10 or 12 bits of 16. Pictures with three channels
    of 16 bits pass: all programs take the upper 8.
    """
    if picture.mode.startswith(("I", "F")):
        return f"values of more than 8 bits ({picture.mode}): save it with 8"
    return None


def _png_damage(image: bytes) -> str | None:
    """Describes what is wrong with the chunks of a PNG, or returns None."""
    start = len(_PNG_SIGNATURE)
    while start + 12 <= len(image):
        length = int.from_bytes(image[start : start + 4], "big")
        chunk_type, end = image[start + 4 : start + 8], start + length + 12
        if end > len(image):
            break
        checksum = int.from_bytes(image[end - 4 : end], "big")
        # The names of chunks that are needed to decode begin with a capital letter.
        is_needed = chunk_type[:1].isupper()
        if is_needed and zlib.crc32(image[start + 4 : end - 4]) != checksum:
            return "damaged (checksum)"
        if chunk_type == b"IEND":
            return None
        start = end
    return "truncated"


def missing_files(folder: pathlib.Path, paths: Iterable[str]) -> list[str]:
    """Paths that do not exist. Lists each folder once and opens no file."""
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
    """Reads all images and yields a line for each damaged one."""
    for path in paths:
        try:
            problem = damage((folder / path).read_bytes())
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        if problem:
            yield f"{path}: {problem}"
