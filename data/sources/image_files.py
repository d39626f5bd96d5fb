"""Tracklets of which every frame is an image file of the source, in order of time."""

import dataclasses
import itertools
import pathlib
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data.sources import checks


@dataclasses.dataclass(frozen=True)
class FileTracklet:
    """One tracklet of a source: `images` are paths under its folder, in order."""

    name: str
    pid: int
    camid: int
    images: list[str]


LARGEST = 2**31 - 1
"""Of pids and camids: what a dataset's int32 can hold."""

Splits = Mapping[str, list[FileTracklet]]


def natural_key(path: str) -> tuple:
    """Sorts numbers in names by their value: frame 2 before frame 10."""
    parts = re.split(r"([0-9]+)", path)
    numbers = [int(part) if i % 2 else part for i, part in enumerate(parts)]
    return numbers, path  # 01 and 1 differ


def gaps(images: list[str]) -> Iterator[str]:
    """Where the numbers that end the names of a tracklet's frames leave some out.

    Nothing is said of names that differ in more than that number. Frames may be
    numbered in steps: a gap is wider than the usual step.
    """
    parsed = [re.fullmatch(r"(.*?)([0-9]+)([^0-9/]*)", image) for image in images]
    if not all(parsed) or len({match[1] + "\n" + match[3] for match in parsed}) != 1:
        return
    numbers = [int(match[2]) for match in parsed]
    for position in jumps(numbers):
        before, after = numbers[position : position + 2]
        yield f"frame {before} is followed by {after} ({images[position]})"


def jumps(numbers: Sequence[int]) -> list[int]:
    """Positions after which ascending numbers leave out more than they usually do."""
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    usual = statistics.median_low(steps) if steps else 0
    return [position for position, step in enumerate(steps) if step > usual]


def check_images(dataset: str, folder: pathlib.Path, splits: Splits) -> None:
    """Reads every image; raises `checks.SourceError` with all damaged ones."""
    problems = checks.damaged_images(folder, all_images(splits.values()))
    if problems := list(problems):
        raise checks.SourceError(dataset, folder, problems)


def all_images(splits: Iterable[list[FileTracklet]]) -> Iterator[str]:
    """The images of all tracklets of some splits."""
    for split in splits:
        for tracklet in split:
            yield from tracklet.images
