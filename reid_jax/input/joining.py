"""Joins the labels of several splits, so that one training can use them together."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Labels(NamedTuple):
    """Name, person id, camera id and number of frames of each tracklet [N]."""

    names: np.ndarray
    pids: np.ndarray
    camids: np.ndarray
    num_frames: np.ndarray


def join_labels(splits: Mapping) -> Labels:
    """Joins the labels of splits whose persons and cameras are all different.

    A tracklet's name becomes "split:name". Pids and camids are renumbered so that no
    two splits share one. Pids below 1 (distractors, junk) stay.

    Args:
        splits: objects with the arrays of `Labels`, by the name of the split.
    """
    names, pids, camids = [], [], []
    next_pid = next_camid = 0
    for title, split in splits.items():
        names.append(np.array([f"{title}:{name}" for name in split.names], np.str_))
        pids.append(np.where(split.pids > 0, split.pids + next_pid, split.pids))
        camids.append(split.camids + next_camid)
        next_pid = max(next_pid, int(pids[-1].max(initial=0)))
        next_camid += int(split.camids.max(initial=-1)) + 1
    num_frames = [split.num_frames for split in splits.values()]
    return Labels(*map(np.concatenate, (names, pids, camids, num_frames)))
