"""Tracklets whose frames are image files of the source, in order of time."""

import dataclasses
import itertools
import pathlib
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

from data.sources import checks


@dataclasses.dataclass(frozen=True)
class FileTracklet:
    """A tracklet of a source.

    Attributes:
        name: Its name, unique in its split.
        pid: Person id; 0 is a distractor, -1 junk.
        camid: Camera id, from 0.
        images: Paths of its frames relative to the source's folder, in order of time.
    """

    name: str
    pid: int
    camid: int
    images: list[str]


LARGEST = 2**31 - 1
"""Largest pid and camid: datasets store them as int32."""

Splits = Mapping[str, list[FileTracklet]]
"""Split → its tracklets."""


def natural_key(path: str) -> tuple:
    """Sort key that orders numbers in names by value: frame 2 before frame 10."""
    parts = re.split(r"([0-9]+)", path)
    numbers = [int(part) if i % 2 else part for i, part in enumerate(parts)]
    return numbers, path  # the path tells 01 from 1


def gaps(images: list[str]) -> Iterator[str]:
    """Yields a text for each gap in the frame numbers that end a tracklet's file names.

    Frames may be numbered in steps: a gap is wider than the usual step. Tracklets whose
    names differ in more than that number are skipped.
    """
    matches = [re.fullmatch(r"(.*?)([0-9]+)([^0-9/]*)", image) for image in images]
    if not all(matches) or len({match[1] + "\n" + match[3] for match in matches}) != 1:
        return
    numbers = [int(match[2]) for match in matches]
    for position in jumps(numbers):
        before, after = numbers[position : position + 2]
        yield f"frame {before} is followed by {after} ({images[position]})"


def jumps(numbers: Sequence[int]) -> list[int]:
    """Positions in ascending `numbers` whose next step is wider than the usual one."""
    steps = [after - before for before, after in itertools.pairwise(numbers)]
    usual_step = statistics.median_low(steps) if steps else 0
    return [position for position, step in enumerate(steps) if step > usual_step]


def check_images(dataset: str, folder: pathlib.Path, splits: Splits) -> None:
    """Reads all images; raises `checks.SourceError` with all damaged ones."""
    problems = checks.damaged_images(folder, all_images(splits.values()))
    if problems := list(problems):
        raise checks.SourceError(dataset, folder, problems)


def all_images(splits: Iterable[list[FileTracklet]]) -> Iterator[str]:
    """Yields the images of all tracklets of these splits."""
    for split in splits:
        for tracklet in split:
            yield from tracklet.images
