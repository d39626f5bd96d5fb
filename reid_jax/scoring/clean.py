"""The protocol "clean": MARS scored with its cleaned labels."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from reid_jax.retrieval import match_ranks
from reid_jax.retrieval.shared_ids import Ids
from reid_jax.runs.embeddings import Embedded


def relabel(
    side: Embedded, labels: Mapping[str, Sequence[int]]
) -> tuple[Embedded, Ids]:
    """Replaces the pids of query or gallery by the cleaned ones.

    Distractors and junk of the published labels become junk: the authors' code leaves
    them out. A tracklet whose cleaned person is 0 is a distractor.

    Args:
        side: query or gallery.
        labels: the two cleaned person ids by the tracklet's name.

    Returns:
        The tracklets with the first ids as pids, and both ids with the camids.
    """
    cleaned = np.array([labels[str(name)] for name in side.tracklets]).reshape(-1, 2)
    pids = np.where(side.pids > 0, cleaned[:, 0], match_ranks.JUNK_PID)
    relabelled = dataclasses.replace(side, pids=pids)
    return relabelled, Ids(pids, cleaned[:, 1], side.camids)


def single_persons(query: Ids, gallery: Ids) -> tuple[np.ndarray, np.ndarray]:
    """Masks tracklets that show two persons.

    Returns:
        Whether each query shows a single person, and the gallery's pids, junk where
        two persons are shown.
    """
    is_single = [(s.others < 1) | (s.others == s.pids) for s in (query, gallery)]
    return is_single[0], np.where(is_single[1], gallery.pids, match_ranks.JUNK_PID)
