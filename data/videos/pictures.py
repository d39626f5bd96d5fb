"""Reads videos that are folders of pictures, or patterns such as `img1/%06d.jpg`."""

import contextlib
import os
import pathlib
import re
import warnings

import numpy as np
from PIL import Image, ImageOps

from data.sources import checks, image_files
from reid_jax.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of pictures, in lower or upper case."""

_GENERIC_NAMES = ("data", "frames", "image", "images", "img", "img1", "imgs", "jpg")
"""Names of folders that do not tell one video from another."""

_NUMBER_FORMAT = re.compile(r"%(?:0([1-9]))?d")


def is_pattern(path: pathlib.Path) -> bool:
    """Whether the last part of a path has a number format, such as %06d or %d."""
    return bool(_NUMBER_FORMAT.search(path.name)) and not path.exists()


def default_name(path: pathlib.Path) -> str:
    """Name of a video: that of its file, or of the folder that tells it from others.

    MOT17-02/img1 and MOT17-02/img1/%06d.jpg are both MOT17-02.
    """
    if not is_pattern(path) and not path.is_dir():
        return path.stem
    folder = (path.parent if is_pattern(path) else path).absolute()
    folder_names = (
        f.name for f in (folder, *folder.parents) if f.name not in ("", "..")
    )
    return next(
        (n for n in folder_names if n.lower() not in _GENERIC_NAMES), folder.name
    )


def whole_path(path: pathlib.Path) -> str:
    """The absolute path of a video, with links resolved.

    A pattern that matches all pictures of its folder is the same video as the folder.
    """
    if is_pattern(path) and path.parent.is_dir():
        with contextlib.suppress(UserError):
            if numbered(path) == numbered(path.parent):
                path = path.parent
    return os.path.realpath(path)


def numbered(path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The pictures of a folder or pattern by frame number, in order.

    The number is the one in the name: 000007.jpg is frame 7, and missing numbers are
    missing frames. Where the numbers start at 0, picture 0 is frame 1, picture 1 is
    frame 2 and so on. In a folder, the number is the last one in the name, if all names
    agree in what comes before it. Pictures of other folders are counted from 1, in
    natural order of their names.

    Raises:
        UserError: the folder is missing, holds no picture, or two with one number.
    """
    if is_pattern(path):
        folder, name = path.parent, _pattern_regex(path)
    else:
        folder, name = path, None
    if not folder.is_dir():
        raise UserError(f"{path}: there is no folder {folder}.")
    files = [
        file
        for file in folder.iterdir()
        if not file.name.startswith(".") and file.is_file()
    ]
    if name:
        matches = [(name.fullmatch(file.name), file) for file in files]
        numbered_files = [(int(match[1]), file) for match, file in matches if match]
    else:
        files = [file for file in files if file.suffix.lower() in SUFFIXES]
        numbered_files = _numbers_of_files(
            sorted(files, key=lambda f: image_files.natural_key(f.name))
        )
    if not numbered_files:
        raise UserError(_no_pictures_message(path, folder))
    numbered_files.sort()
    offset = 1 if numbered_files[0][0] == 0 else 0
    frames: dict[int, pathlib.Path] = {}
    for number, file in numbered_files:
        first = frames.setdefault(number + offset, file)
        if first is not file:
            raise UserError(
                f"{folder}: {first.name} and {file.name} have the same number; keep "
                "one picture of each frame there."
            )
    return frames


def read(path: pathlib.Path) -> np.ndarray:
    """A picture as RGB, uint8 [H, W, 3], turned as its EXIF orientation says.

    Raises:
        UserError: the file cannot be read as a picture, is larger than 8K, or has
            values of more than 8 bits.
    """
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path) as picture,
        ):
            width, height = picture.size
            if width * height > checks.LARGEST_IMAGE:
                raise UserError(f"it has {width}×{height} pixels, more than 8K")
            if too_deep := checks.beyond_8_bits(picture):
                raise UserError(f"it has {too_deep}")
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except Exception as error:  # a damaged picture can cause any error in Pillow
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} cannot be read as a picture: {reason}.") from error


def _pattern_regex(path: pathlib.Path) -> re.Pattern:
    """Matches the names that a pattern stands for; group 1 is the number."""
    formats = list(_NUMBER_FORMAT.finditer(path.name))
    if len(formats) > 1:
        raise UserError(f"{path} has {len(formats)} places for a number, not one.")
    (format_,) = formats
    before, after = path.name[: format_.start()], path.name[format_.end() :]
    # As printf writes numbers: zeros fill up the width, but never go beyond it.
    width = int(format_[1] or 1)
    digits = rf"[0-9]{{{width}}}|[1-9][0-9]{{{width},}}"
    before, after = (re.escape(text.replace("%%", "%")) for text in (before, after))
    return re.compile(f"{before}({digits}){after}")


def _numbers_of_files(files: list[pathlib.Path]) -> list[tuple[int, pathlib.Path]]:
    """The frame number of each file of a folder; files are in natural order."""
    parsed = [re.fullmatch(r"(.*?)([0-9]{1,15})[^0-9]*", file.stem) for file in files]
    if all(parsed) and len({match[1] for match in parsed}) == 1:
        return [(int(m[2]), file) for m, file in zip(parsed, files, strict=True)]
    return list(enumerate(files, start=1))


def _no_pictures_message(path: pathlib.Path, folder: pathlib.Path) -> str:
    """Error text for a folder without pictures; names a subfolder that has some."""
    if folder != path:
        return f"{path}: no file of {folder} has such a name."
    for subfolder in sorted(filter(pathlib.Path.is_dir, folder.iterdir())):
        if any(file.suffix.lower() in SUFFIXES for file in subfolder.iterdir()):
            return f"{path} holds no pictures; {subfolder} does."
    return f"{path} holds no pictures ({' '.join(SUFFIXES)})."
