"""A video as a folder of pictures, or as a pattern such as `img1/%06d.jpg`."""

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
"""What names of pictures end with, in small or capital letters."""

_USUAL_NAMES = ("data", "frames", "image", "images", "img", "img1", "imgs", "jpg")
"""Names of folders that do not tell one video from another."""

_PLACE = re.compile(r"%(?:0([1-9]))?d")


def is_pattern(path: pathlib.Path) -> bool:
    """Whether the last part of a path has a place for a number, as %06d or %d."""
    return bool(_PLACE.search(path.name)) and not path.exists()


def default_name(path: pathlib.Path) -> str:
    """What to call a video: its file's name, or the folder that tells it from others.

    MOT17-02/img1 and MOT17-02/img1/%06d.jpg are both MOT17-02.
    """
    if not is_pattern(path) and not path.is_dir():
        return path.stem
    folder = (path.parent if is_pattern(path) else path).absolute()
    named = (f.name for f in (folder, *folder.parents) if f.name not in ("", ".."))
    return next((n for n in named if n.lower() not in _USUAL_NAMES), folder.name)


def whole_path(path: pathlib.Path) -> str:
    """The path of a video from the root, its links followed.

    A pattern that fits all pictures of its folder is the same video as the folder.
    """
    if is_pattern(path) and path.parent.is_dir():
        with contextlib.suppress(UserError):
            if numbered(path) == numbered(path.parent):
                path = path.parent
    return os.path.realpath(path)


def numbered(path: pathlib.Path) -> dict[int, pathlib.Path]:
    """The pictures of a folder or pattern by their frame's number, in order.

    The number is the one in the name: 000007.jpg is frame 7, and numbers that are left
    out are frames that are missing. Where the numbers start at 0, picture 0 is frame 1,
    picture 1 is frame 2, and so on. In a folder, the number is the last one in the
    name, provided that the names agree in what comes before it; pictures of other
    folders are counted from 1, in natural order of their names.

    Raises:
        UserError: the folder is missing, holds no picture, or two of one number.
    """
    if is_pattern(path):
        folder, name = path.parent, _regex(path)
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
        found = [(int(match[1]), file) for match, file in matches if match]
    else:
        files = [file for file in files if file.suffix.lower() in SUFFIXES]
        found = _numbers(sorted(files, key=lambda f: image_files.natural_key(f.name)))
    if not found:
        raise UserError(_nothing(path, folder))
    found.sort()
    start = 1 if found[0][0] == 0 else 0
    frames: dict[int, pathlib.Path] = {}
    for number, file in found:
        first = frames.setdefault(number + start, file)
        if first is not file:
            raise UserError(
                f"{folder}: {first.name} and {file.name} have the same number; keep "
                "one picture of each frame there."
            )
    return frames


def read(path: pathlib.Path) -> np.ndarray:
    """A picture as uint8 [H, W, 3], RGB, turned as its EXIF orientation says.

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
    except Exception as error:  # whatever a damaged picture leads Pillow to
        reason = str(error) or type(error).__name__
        raise UserError(f"{path} cannot be read as a picture: {reason}.") from error


def _regex(path: pathlib.Path) -> re.Pattern:
    """Matches the names that a pattern stands for; the number is group 1."""
    places = list(_PLACE.finditer(path.name))
    if len(places) > 1:
        raise UserError(f"{path} has {len(places)} places for a number, not one.")
    (place,) = places
    before, after = path.name[: place.start()], path.name[place.end() :]
    # As printf writes it: filled with zeros up to a width, and never beyond.
    width = int(place[1] or 1)
    digits = rf"[0-9]{{{width}}}|[1-9][0-9]{{{width},}}"
    before, after = (re.escape(text.replace("%%", "%")) for text in (before, after))
    return re.compile(f"{before}({digits}){after}")


def _numbers(files: list[pathlib.Path]) -> list[tuple[int, pathlib.Path]]:
    """The number of each file of a folder, which are in natural order."""
    parsed = [re.fullmatch(r"(.*?)([0-9]{1,15})[^0-9]*", file.stem) for file in files]
    if all(parsed) and len({match[1] for match in parsed}) == 1:
        return [(int(m[2]), file) for m, file in zip(parsed, files, strict=True)]
    return list(enumerate(files, start=1))


def _nothing(path: pathlib.Path, folder: pathlib.Path) -> str:
    """An error about a folder without pictures, which names one that has some."""
    if folder != path:
        return f"{path}: no file of {folder} has such a name."
    for below in sorted(filter(pathlib.Path.is_dir, folder.iterdir())):
        if any(file.suffix.lower() in SUFFIXES for file in below.iterdir()):
            return f"{path} holds no pictures; {below} does."
    return f"{path} holds no pictures ({' '.join(SUFFIXES)})."
