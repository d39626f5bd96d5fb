"""Reads sets of pictures in Market-1501's layout, and single folders named like it.

Source of names and folders: Zheng et al., "Scalable Person Re-identification: A
Benchmark", ICCV 2015.
"""

import pathlib
from collections import defaultdict
from collections.abc import Iterator

from data.image_folder import names
from data.sources import checks, halves, image_files
from data.sources.image_files import FileTracklet, Splits

LAYOUT = """\
DIR holds pictures named <person>_c<camera>…, e.g. 0002_c1s1_000451_03.jpg, either in
Market-1501's three folders
  bounding_box_train/  query/  bounding_box_test/
(without the first it can be scored, not trained on), or all in DIR itself. Then half
of the persons are for training; of each other person one picture is a query.
Persons count from 1; in the gallery 0000 is a distractor, -1 junk. Cameras from 1."""

FOLDERS = {
    "train": "bounding_box_train",
    "query": "query",
    "gallery": "bounding_box_test",
}


def read_splits(folder: pathlib.Path) -> Splits:
    """The pictures of `train`, `query` and `gallery`, each a tracklet of one frame.

    A set without `bounding_box_train` has no `train`. Warns about queries without a
    match. Opens images only where there is a problem, to report all damaged ones with
    it.

    Raises:
        SourceError: lists everything that is wrong.
    """
    folder = pathlib.Path(folder)
    problems: list[str] = []
    warnings: list[str] = []
    if any((folder / name).is_dir() for name in FOLDERS.values()):
        splits = _read_folders(folder, problems, warnings)
    elif names.has_pictures(folder):
        splits = split_persons(names.read(folder, "", problems, warnings))
    else:
        problems.append(f"no picture in it, and no folder {FOLDERS['query']}")
        splits = {}
    if not problems:
        problems += _split_problems(splits)
        warnings += _queries_without_match(splits)
    checks.warn(f"image_folder in {folder}", warnings)
    if problems:
        images = image_files.all_images(splits.values())
        problems += checks.damaged_images(folder, images)
        raise checks.SourceError("image_folder", folder, problems)
    return splits


def split_persons(pictures: list[FileTracklet]) -> dict[str, list[FileTracklet]]:
    """Splits the pictures of one folder by persons into our own halves, with seed 0.

    The query of a test person is the first picture under its first camera; a person
    under one camera only has none. The gallery is everything else that is not for
    training.
    """
    by_person = defaultdict(list)
    for picture in pictures:
        by_person[picture.pid].append(picture)
    persons = sorted(pid for pid in by_person if pid > 0)
    train, test = map(set, halves.seeded_halves(persons, 0))
    query = []
    for pid in sorted(test):
        first = min(by_person[pid], key=lambda picture: picture.camid)
        if any(picture.camid != first.camid for picture in by_person[pid]):
            query.append(first)
    is_query = {picture.name for picture in query}
    test_pictures = [picture for picture in pictures if picture.pid not in train]
    return {
        "train": [picture for picture in pictures if picture.pid in train],
        "query": query,
        "gallery": [
            picture for picture in test_pictures if picture.name not in is_query
        ],
    }


def _read_folders(
    folder: pathlib.Path, problems: list[str], warnings: list[str]
) -> dict[str, list[FileTracklet]]:
    """The pictures of Market-1501's three folders; `train` may be missing."""
    splits = {}
    for split, subfolder in FOLDERS.items():
        if (folder / subfolder).is_dir():
            splits[split] = names.read(folder, subfolder, problems, warnings)
        elif split != "train":
            problems.append(f"{subfolder}: missing folder")
    if "train" not in splits:
        warnings.append(f"{FOLDERS['train']}: missing, so that it can be scored only")
    for split in splits.keys() - {"gallery"}:
        problems += [
            f"{picture.images[0]}: person {picture.pid}; 0 (distractor) and -1 (junk) "
            f"are for {FOLDERS['gallery']}"
            for picture in splits[split]
            if picture.pid < 1
        ]
    return splits


def _split_problems(splits: Splits) -> Iterator[str]:
    """Yields splits without pictures, and persons both in training and in testing."""
    for split, pictures in splits.items():
        if not pictures:
            yield f"{split}: no picture"
    training = {picture.pid: picture for picture in splits.get("train", ())}
    for split in ("query", "gallery"):
        for picture in splits[split]:
            if picture.pid in training:
                yield (
                    f"{picture.images[0]}: person {picture.pid} is in training, too: "
                    f"{training[picture.pid].images[0]}"
                )


def _queries_without_match(splits: Splits) -> list[str]:
    """A text for each query whose person is under no other camera in the gallery."""
    cameras = defaultdict(set)
    for picture in splits["gallery"]:
        cameras[picture.pid].add(picture.camid)
    return [
        f"{picture.images[0]}: person {picture.pid} is in the gallery under no other "
        "camera, so that this query does not count"
        for picture in splits["query"]
        if not cameras[picture.pid] - {picture.camid}
    ]
