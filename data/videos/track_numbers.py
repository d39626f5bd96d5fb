"""Lines of a tracks file that hold nothing but numbers, many at once.

What these functions cannot read may still be a line: `track_lines` reads one at a time.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float

LARGEST = 2**53
"""Beyond it a float no longer tells whole numbers apart."""

ABSENT = -1
"""In place of a class or of a flag that a line does not have."""

NUM = 8
"""Numbers that `read` gives for a line: frame, id, box (4), class and flag."""

_PLAIN = b"0123456789.,;-+eE \t\n"

_GROUND_TRUTH = np.dtype([("box", float, 6), ("flag", "U4"), ("rest", float, 2)])
"""Nine columns; the flag is a text, because "1.00" is a confidence."""


def read(texts: Sequence[str]) -> Float[np.ndarray, "N 8"] | None:
    """The numbers of lines that have the same columns, or None where one has others.

    `texts` are lines as a file gives them, at least one. Whether the numbers can be
    used is not checked.
    """
    text = "".join(texts)
    if not text.isascii() or text.encode().translate(None, _PLAIN):
        return None
    separator = next((each for each in ";," if each in text), None)
    num_columns = len(texts[0].split(separator))
    has_flags = num_columns == len(("frame", "id", *"xywh", "flag", "class", "seen"))
    if num_columns < 6 or (has_flags and separator and (" " in text or "\t" in text)):
        return None
    try:
        if has_flags:
            table = np.loadtxt(
                texts, _GROUND_TRUTH, delimiter=separator, comments=None, ndmin=1
            )
        else:
            table = np.loadtxt(texts, delimiter=separator, comments=None, ndmin=2)
    except ValueError:  # no number, no field, or another number of fields
        return None
    if len(table) != len(texts):  # some are empty
        return None
    numbers = np.full((len(texts), NUM), float(ABSENT))
    numbers[:, :6] = table["box"] if has_flags else table[:, :6]
    if num_columns >= 8:
        kinds = table["rest"][:, 0] if has_flags else table[:, 7]
        numbers[:, 6] = np.where(_are_whole(kinds), kinds, ABSENT)
    if has_flags:
        seen = table["rest"][:, 1]
        is_alike = (numbers[:, 6] > 0) & (seen >= 0) & (seen <= 1)
        for flag in (0, 1):
            is_flag = np.isin(table["flag"], (f"{flag}", f"{flag}.0"))
            numbers[is_flag & is_alike, 7] = flag
    return numbers


def are_usable(
    numbers: Float[np.ndarray, "N 8"], nobody: Collection[int]
) -> Bool[np.ndarray, "N"]:
    """Which lines have numbers of a frame, of an id and of a box that is not empty.

    Ids in `nobody` are usable even if they are below 0.
    """
    frames, ids, *_, widths, heights = numbers[:, :6].T
    usable = np.isfinite(numbers[:, :6]).all(1)
    usable &= _are_whole(frames)
    usable &= _are_whole(ids) | np.isin(ids, np.array(list(nobody), float))
    return usable & (widths > 0) & (heights > 0)


def _are_whole(values: Float[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Which values are whole numbers from 0 that a float tells apart."""
    return (values >= 0) & (values <= LARGEST) & (values == np.floor(values))
