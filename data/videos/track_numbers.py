"""Parses many lines of a tracks file at once, if they have nothing but numbers.

`track_lines` parses other lines one by one.
"""

from collections.abc import Collection, Sequence

import numpy as np
from jaxtyping import Bool, Float

MAX_WHOLE = 2**53
"""Largest whole number; beyond it floats cannot tell neighbours apart."""

ABSENT = -1
"""Class or flag of a line that has none."""

NUM_VALUES = 8
"""Numbers of a line: frame, id, box (4), class and flag."""

_NUMERIC_BYTES = b"0123456789.,;-+eE \t\n"

_GROUND_TRUTH_COLUMNS = np.dtype(
    [("box", float, 6), ("flag", "U4"), ("rest", float, 2)]
)
"""Nine columns. The flag is read as text, because "1.00" is a confidence."""


def read(texts: Sequence[str]) -> Float[np.ndarray, "N 8"] | None:
    """The numbers of some lines, or None unless all have the same numeric columns.

    Args:
        texts: Lines of a file, at least one. It is not checked whether their numbers
            make sense.
    """
    text = "".join(texts)
    if not text.isascii() or text.encode().translate(None, _NUMERIC_BYTES):
        return None
    separator = next((each for each in ";," if each in text), None)
    num_columns = len(texts[0].split(separator))
    has_flags = num_columns == len(("frame", "id", *"xywh", "flag", "class", "seen"))
    if num_columns < 6 or (has_flags and separator and (" " in text or "\t" in text)):
        return None
    try:
        if has_flags:
            table = np.loadtxt(
                texts,
                _GROUND_TRUTH_COLUMNS,
                delimiter=separator,
                comments=None,
                ndmin=1,
            )
        else:
            table = np.loadtxt(texts, delimiter=separator, comments=None, ndmin=2)
    except ValueError:  # a field is empty, no number, or missing
        return None
    if len(table) != len(texts):  # numpy skips empty lines
        return None
    numbers = np.full((len(texts), NUM_VALUES), float(ABSENT))
    numbers[:, :6] = table["box"] if has_flags else table[:, :6]
    if num_columns >= 8:
        class_ids = table["rest"][:, 0] if has_flags else table[:, 7]
        numbers[:, 6] = np.where(_are_whole(class_ids), class_ids, ABSENT)
    if has_flags:
        visibility = table["rest"][:, 1]
        is_ground_truth = (numbers[:, 6] > 0) & (visibility >= 0) & (visibility <= 1)
        for flag in (0, 1):
            is_flag = np.isin(table["flag"], (f"{flag}", f"{flag}.0"))
            numbers[is_flag & is_ground_truth, 7] = flag
    return numbers


def are_usable(
    numbers: Float[np.ndarray, "N 8"], nobody: Collection[int]
) -> Bool[np.ndarray, "N"]:
    """Whether each line has a valid frame, a valid id and a box that is not empty.

    Ids in `nobody` are valid even if they are below 0.
    """
    frames, ids, *_, widths, heights = numbers[:, :6].T
    usable = np.isfinite(numbers[:, :6]).all(1)
    usable &= _are_whole(frames)
    usable &= _are_whole(ids) | np.isin(ids, np.array(list(nobody), float))
    return usable & (widths > 0) & (heights > 0)


def _are_whole(values: Float[np.ndarray, "N"]) -> Bool[np.ndarray, "N"]:
    """Which values are whole numbers from 0 to `MAX_WHOLE`."""
    return (values >= 0) & (values <= MAX_WHOLE) & (values == np.floor(values))
