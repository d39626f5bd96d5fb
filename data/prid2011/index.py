"""Reads PRID 2011 as published: its folders, and three ways to split its persons.

Source: Hirzer et al., "Person Re-Identification by Descriptive and Discriminative
Classification", SCIA 2011.
"""

import json
import pathlib
import re

from data.sources import image_files, two_cameras
from data.sources.halves import seeded_halves

NUM_SPLITS = 10

LAYOUT = """\
PRID 2011 comes from its authors; DIR holds the folder of its archive:
  prid_2011/multi_shot/cam_a/person_0001/*.png   and cam_b
For the configs split0 to split9 it also holds splits_prid2011.json, as published with
deep-person-reid: a list of {"train": [folder, ...], "test": [folder, ...]}."""

FOLDERS = two_cameras.Layout(
    "PRID 2011", ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b")
)

BOTH_CAMERAS = tuple(f"person_{number:04d}" for number in range(1, 201))
"""Folders of the persons that both cameras saw.

Numbers above 200 are different persons under the two cameras.
"""

LEFT_OUT = (
    *(6, 19, 31, 52, 57, 62, 71, 94, 106, 120, 136),
    *(138, 139, 142, 145, 158, 159, 166, 183, 190, 199, 200),
)
"""Persons of these 200 whom the published splits leave out: seen too briefly."""

LONG_ENOUGH = tuple(
    person
    for number, person in enumerate(BOTH_CAMERAS, start=1)
    if number not in LEFT_OUT
)
"""Folders of the 178 persons of the published splits."""

SPLIT_KINDS = {
    "split": "published split {}: 89 of 178 persons to train, 89 to test",
    "seeded": "our own split {} of the same 178 persons",
    "all": "our own split {} of all 200 persons, as Kansal & Subramanyam 2018",
}

_SPLITS = "splits_prid2011.json"


def read_splits(folder: pathlib.Path, config: str) -> image_files.Splits:
    """The tracklets of a config, such as seeded0: a key of `SPLIT_KINDS`, then 0 to 9.

    Raises:
        SourceError: lists everything wrong with the folders, images and split file.
    """
    problems: list[str] = []
    kind, number = re.fullmatch(r"([a-z]+)([0-9])", config).groups()
    if kind == "split":
        halves = _read_halves(folder, int(number), problems)
    else:
        persons = LONG_ENOUGH if kind == "seeded" else BOTH_CAMERAS
        halves = seeded_halves(persons, int(number))
    two_cameras.person_folders(FOLDERS, folder, problems)
    return two_cameras.read_splits(FOLDERS, folder, halves, problems)


def _read_halves(
    folder: pathlib.Path, number: int, problems: list[str]
) -> two_cameras.Halves:
    """The halves of published split `number`; checks all splits of the file.

    After a problem everyone is a training person, so that all images are checked.
    """
    all_to_train = list(LONG_ENOUGH), []
    if not (folder / _SPLITS).is_file():
        problems.append(f"{_SPLITS}: missing (seeded0 to seeded9 do without)")
        return all_to_train
    try:
        content = json.loads((folder / _SPLITS).read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        problems.append(f"{_SPLITS}: not JSON ({error})")
        return all_to_train
    if not isinstance(content, list) or len(content) != NUM_SPLITS:
        problems.append(f"{_SPLITS}: not a list of {NUM_SPLITS} splits")
        return all_to_train
    num_before = len(problems)
    for position, split in enumerate(content):
        problems += [
            f"{_SPLITS}: split {position} {problem}"
            for problem in _split_problems(split)
        ]
    if len(problems) > num_before:
        return all_to_train
    return sorted(content[number]["train"]), sorted(content[number]["test"])


def _split_problems(split) -> list[str]:
    """Describes each problem of one split of the file."""
    if not isinstance(split, dict) or not all(
        isinstance(split.get(half), list) and split[half] for half in ("train", "test")
    ):
        return ["has no lists 'train' and 'test'"]
    names = split["train"] + split["test"]
    problems = [
        f"names {name!r}, not person_0001 to person_0200, whom both cameras saw"
        for name in dict.fromkeys(map(str, names))
        if name not in BOTH_CAMERAS
    ]
    if len(set(map(str, names))) < len(names):
        problems.append("names a person twice")
    sizes = [len(split[half]) for half in ("train", "test")]
    if not problems and sizes != [len(LONG_ENOUGH) // 2] * 2:
        problems.append("has {} and {} persons, not 89 and 89".format(*sizes))
    return problems
