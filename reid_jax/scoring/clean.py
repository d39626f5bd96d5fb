"""The protocol `clean`: MARS scored by its cleaned labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from reid_jax.retrieval import places
from reid_jax.retrieval.shared_ids import Ids
from reid_jax.runs.embeddings import Embedded


def relabel(
    side: Embedded, labels: Mapping[str, Sequence[int]]
) -> tuple[Embedded, Ids]:
    """Query or gallery with its cleaned pids, and the same with the second ids.

    What the published labels call a distractor or junk is junk here: the authors' code
    leaves it out. A tracklet that was cleaned to person 0 is a distractor.
    """
    cleaned = np.array([labels[str(name)] for name in side.tracklets]).reshape(-1, 2)
    pids = np.where(side.pids > 0, cleaned[:, 0], places.JUNK_PID)
    relabelled = dataclasses.replace(side, pids=pids)
    return relabelled, Ids(pids, cleaned[:, 1], side.camids)


def of_one_person(query: Ids, gallery: Ids) -> tuple[np.ndarray, np.ndarray]:
    """Which queries show one person; the gallery's pids, those of two as junk."""
    is_sure = [(s.others < 1) | (s.others == s.pids) for s in (query, gallery)]
    return is_sure[0], np.where(is_sure[1], gallery.pids, places.JUNK_PID)
