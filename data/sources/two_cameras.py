"""Reads datasets where each of two cameras saw every person once, as folders of PNGs.

Training persons come with both tracklets. For a test person, the first camera's
tracklet is the query and the second camera's is in the gallery.
"""

import dataclasses
import os
import pathlib
import re

from data.sources import checks, image_files
from data.sources.image_files import FileTracklet


@dataclasses.dataclass(frozen=True)
class Layout:
    """Folders of a dataset's persons in its source: `<camera>/<person>/*.png`."""

    dataset: str
    """Name of the dataset in errors."""
    cameras: tuple[str, str]
    """Folders of the two cameras; the first one has the queries."""


Halves = tuple[list[str], list[str]]
"""Folder names of the persons to train on, and of those to test with."""


def person_folders(
    layout: Layout, folder: pathlib.Path, problems: list[str]
) -> list[str]:
    """Names of the person folders of both cameras, sorted; adds to `problems`."""
    names, first_with = set(), {}
    for camera in layout.cameras:
        if not (folder / camera).is_dir():
            problems.append(f"{camera}: missing folder")
            continue
        for name in sorted(os.listdir(folder / camera)):
            if name.startswith(".") or not (folder / camera / name).is_dir():
                continue
            pid = _pid(name)
            if pid is None:
                problems.append(f"{camera}/{name}: not a name like person001")
            elif (first := first_with.setdefault(pid, name)) != name:
                problems.append(f"{camera}/{name}: the person of {first} already")
            else:
                names.add(name)
    return sorted(names)


def read_splits(
    layout: Layout, folder: pathlib.Path, halves: Halves, problems: list[str]
) -> image_files.Splits:
    """The tracklets of `train`, `query` and `gallery`; a pid is the folder's number.

    Warns about hidden files, files other than PNGs, and gaps in the frames' numbers.
    Opens images only where there is a problem, to report all damaged ones with it.

    Args:
        layout: Where the persons are.
        folder: The source.
        halves: Persons to train on and to test with; each must be under both cameras.
        problems: Problems found before, by `person_folders` and in the split file.

    Raises:
        SourceError: lists everything that is wrong.
    """
    warnings: list[str] = []

    def tracklets(names: list[str], camid: int) -> list[FileTracklet]:
        camera = layout.cameras[camid]
        return [
            FileTracklet(
                f"{pathlib.PurePath(camera).name}/{name}",
                _pid(name),
                camid,
                _images(folder, f"{camera}/{name}", problems, warnings),
            )
            for name in names
        ]

    train, test = halves
    splits = {
        "train": tracklets(train, 0) + tracklets(train, 1),
        "query": tracklets(test, 0),
        "gallery": tracklets(test, 1),
    }
    checks.warn(f"{layout.dataset} in {folder}", warnings)
    if problems:
        images = image_files.all_images(splits.values())
        problems += checks.damaged_images(folder, images)
        raise checks.SourceError(layout.dataset, folder, problems)
    return splits


def _pid(name: str) -> int | None:
    """The number of a folder such as person001, from 1; None for another name."""
    match = re.fullmatch(r"person_?([0-9]{1,9})", name)
    return int(match[1]) or None if match else None


def _images(
    folder: pathlib.Path, person: str, problems: list[str], warnings: list[str]
) -> list[str]:
    """The PNGs of a person under a camera, in natural order."""
    path = folder / person
    if not path.is_dir():
        if path.parent.is_dir():  # else `person_folders` has reported it
            problems.append(f"{person}: missing folder")
        return []
    names = sorted(os.listdir(path), key=image_files.natural_key)
    # macOS leaves hidden files such as `._0001.png` in archives.
    images = [
        f"{person}/{name}"
        for name in names
        if name.lower().endswith(".png")
        and not name.startswith(".")
        and (path / name).is_file()
    ]
    if not images:
        problems.append(f"{person}: no PNG in it")
    if others := len(names) - len(images):
        warnings.append(
            f"{person}: {others} files that are hidden or no PNGs are not used"
        )
    warnings += image_files.gaps(images)
    return images
