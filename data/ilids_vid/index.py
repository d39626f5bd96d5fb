"""Reads i-LIDS-VID as published: its folders and its ten splits.

Source: Wang et al., "Person Re-Identification by Video Ranking", ECCV 2014.
"""

import pathlib

import numpy as np

from data.sources import image_files, two_cameras
from data.sources.matlab import read_matrix

NUM_SPLITS = 10

LAYOUT = """\
i-LIDS-VID comes from its authors; DIR holds the two folders of its archive:
  i-LIDS-VID/sequences/cam1/person001/*.png   and cam2, 300 persons in each
  train-test people splits/train_test_splits_ilidsvid.mat"""

FOLDERS = two_cameras.Layout(
    "i-LIDS-VID", ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2")
)

_SPLITS = "train-test people splits/train_test_splits_ilidsvid.mat"


def read_splits(folder: pathlib.Path, number: int) -> image_files.Splits:
    """The tracklets of published split `number`, 0 to 9.

    Raises:
        SourceError: lists everything wrong with the folders, images and split file.
    """
    problems: list[str] = []
    persons = two_cameras.person_folders(FOLDERS, folder, problems)
    halves = _read_halves(folder, number, persons, problems)
    return two_cameras.read_splits(FOLDERS, folder, halves, problems)


def _read_halves(
    folder: pathlib.Path, split: int, persons: list[str], problems: list[str]
) -> two_cameras.Halves:
    """The persons of row `split` of the matrix `ls_set`; its first half is for testing.

    A row holds positions in the sorted folders, from 1, not the folders' numbers, which
    have gaps. After a problem everyone is a training person, so that all images are
    checked.
    """
    all_to_train = persons, []
    matrix = read_matrix(folder / _SPLITS, "ls_set", problems)
    if matrix is None:
        return all_to_train
    if matrix.shape != (NUM_SPLITS, len(persons)):
        problems.append(
            f"{_SPLITS}: 'ls_set' has shape {matrix.shape}, expected "
            f"{NUM_SPLITS} splits of the {len(persons)} persons that have folders"
        )
        return all_to_train
    expected = np.arange(1, len(persons) + 1)
    bad_rows = np.flatnonzero(np.any(np.sort(matrix, axis=1) != expected, axis=1))
    problems += [
        f"{_SPLITS}: row {row + 1} of 'ls_set' does not name each person once"
        for row in bad_rows
    ]
    if split in bad_rows:
        return all_to_train
    names = [persons[position - 1] for position in matrix[split]]
    test, train = names[: len(names) // 2], names[len(names) // 2 :]
    return sorted(train), sorted(test)
