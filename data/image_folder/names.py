"""Pictures whose names say person and camera: `0002_c1s1_000451_03.jpg`."""

import os
import pathlib
import re

from data.sources import image_files
from data.sources.image_files import FileTracklet

_SUFFIXES = (".jpg", ".jpeg", ".png")
_NAME = re.compile(r"(-1|[0-9]{1,10})_c([0-9]{1,9})(?![0-9]).*")
_EXAMPLE = "0002_c1s1_000451_03.jpg"


def read(
    folder: pathlib.Path, inside: str, problems: list[str], warnings: list[str]
) -> list[FileTracklet]:
    """The pictures of the folder `inside` another one, in natural order of their names.

    Person -1 is junk, 0 a distractor; cameras count from 1 in names. Names that say
    neither go to `problems`. Files that are hidden or no pictures are warned about.
    """
    names = sorted(os.listdir(folder / inside), key=image_files.natural_key)
    names = [name for name in names if (folder / inside / name).is_file()]
    pictures = [name for name in names if _is_picture(name)]
    tracklets = []
    for name in pictures:
        path = f"{inside}/{name}" if inside else name
        match = _NAME.fullmatch(name)
        if match is None:
            problems.append(f"{path}: not a name like {_EXAMPLE}")
            continue
        pid, camera = int(match[1]), int(match[2])
        if pid > image_files.LARGEST:
            problems.append(f"{path}: person {pid} is above {image_files.LARGEST}")
        if camera == 0:
            problems.append(f"{path}: camera 0, but cameras count from 1")
        tracklets.append(FileTracklet(name, pid, camera - 1, [path]))
    if others := len(names) - len(pictures):
        warnings.append(
            f"{inside or 'the folder'}: {others} files that are hidden or no pictures "
            f"({' '.join(_SUFFIXES)}) are not used"
        )
    return tracklets


def has_pictures(folder: pathlib.Path) -> bool:
    """Whether pictures are in the folder itself."""
    return any(
        _is_picture(name) and (folder / name).is_file() for name in os.listdir(folder)
    )


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")
