"""Reads MARS's cleaned labels: corrected persons of the test tracklets.

Source: Liu et al. 2021, "Video-Based Person Re-ID without Bells and Whistles"
(arXiv:2105.10678), whose archive has `clean_tracks_test_info.mat`. The file was not at
hand when this was written. Its name, key and six columns are those that the authors'
public code reads. Not verified: that a second id below 1 means that there is none.
"""

import pathlib

import numpy as np

from data.sources.matlab import read_matrix

NAME = "clean_tracks_test_info.mat"

_MAX_SHOWN = 3


def read(
    info: pathlib.Path, test: np.ndarray, problems: list[str]
) -> np.ndarray | None:
    """Cleaned pid and second id of each test tracklet, int64 [N, 2].

    Args:
        info: The folder `info/`.
        test: The published table of test tracklets [N, 4].
        problems: Gets a line for each problem.

    Returns:
        None where the folder has no such file, or after adding to `problems`.
    """
    if not (info / NAME).exists():
        return None
    table = read_matrix(info / NAME, "track_test_info", problems)
    if table is None:
        return None
    place = f"info/{NAME}"
    if table.shape != (len(test), 6):
        problems.append(
            f"{place}: shape {table.shape}, expected ({len(test)}, 6): first image, "
            "last image, pid, camera, cleaned pid, second id"
        )
        return None
    differing_rows = np.flatnonzero((table[:, :4] != test).any(axis=1))
    if len(differing_rows):
        shown = ", ".join(str(row + 1) for row in differing_rows[:_MAX_SHOWN])
        problems.append(
            f"{place}: {len(differing_rows)} rows are of other tracklets than those of "
            f"tracks_test_info.mat, the first ones: {shown}"
        )
    if (table[:, 4] < -1).any():
        problems.append(f"{place}: cleaned pid {table[:, 4].min()} is below -1")
    return table[:, 4:]
