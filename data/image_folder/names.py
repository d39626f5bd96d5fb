"""Reads pictures whose names give person and camera: `0002_c1s1_000451_03.jpg`."""

import os
import pathlib
import re

from data.sources import image_files
from data.sources.image_files import FileTracklet

_SUFFIXES = (".jpg", ".jpeg", ".png")
_NAME_PATTERN = re.compile(r"(-1|[0-9]{1,10})_c([0-9]{1,9})(?![0-9]).*")
_EXAMPLE = "0002_c1s1_000451_03.jpg"


def read(
    folder: pathlib.Path, subfolder: str, problems: list[str], warnings: list[str]
) -> list[FileTracklet]:
    """The pictures of a folder, in natural order of their names.

    Warns about hidden files and files that are no pictures.

    Args:
        folder: The source.
        subfolder: The folder in it to read; empty: the source itself.
        problems: Gets a line for each name without person and camera, or with bad ones.
        warnings: Gets a line with the number of files that are not used.
    """
    names = sorted(os.listdir(folder / subfolder), key=image_files.natural_key)
    names = [name for name in names if (folder / subfolder / name).is_file()]
    pictures = [name for name in names if _is_picture(name)]
    tracklets = []
    for name in pictures:
        path = f"{subfolder}/{name}" if subfolder else name
        match = _NAME_PATTERN.fullmatch(name)
        if match is None:
            problems.append(f"{path}: not a name like {_EXAMPLE}")
            continue
        pid, camera = int(match[1]), int(match[2])
        if pid > image_files.LARGEST:
            problems.append(f"{path}: person {pid} is above {image_files.LARGEST}")
        if camera == 0:
            problems.append(f"{path}: camera 0, but cameras count from 1")
        tracklets.append(FileTracklet(name, pid, camera - 1, [path]))
    if num_others := len(names) - len(pictures):
        warnings.append(
            f"{subfolder or 'the folder'}: {num_others} files that are hidden or no "
            f"pictures ({' '.join(_SUFFIXES)}) are not used"
        )
    return tracklets


def has_pictures(folder: pathlib.Path) -> bool:
    """Whether the folder itself holds pictures."""
    return any(
        _is_picture(name) and (folder / name).is_file() for name in os.listdir(folder)
    )


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")
