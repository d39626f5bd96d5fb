"""Which queries the pictures and the report show."""

import numpy as np
import pytest

from reid_jax.report import choices
from reid_jax.retrieval import ranking
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import metrics, scores


@pytest.fixture
def scored():
    """Four persons seen by two cameras; queries 1 and 2 have another person first."""
    names = np.array(list("abcd"))
    pids = np.arange(1, 5)
    query = Embedded(np.array([[0.0], [1], [2], [3]]), pids, np.zeros(4, int), names)
    gallery = Embedded(
        np.array([[0.0], [1.9], [1.1], [3], [0]]),
        np.array([1, 2, 3, 4, -1]),
        np.ones(5, int),
        np.array(list("efghi")),
    )
    metric = metrics.Metric("l2", False, lambda q, g: np.abs(q - g.T))
    distances = metric.distances(query.embeddings, gallery.embeddings)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    result = ranking.evaluate(distances, *labels)
    return scores.Scored(
        *("trained", metric, "standard", "step"), query, gallery, distances, result
    )


class Frames(choices.Frames):
    """Query 1 and its first result are grey alike, query 2 and its own are not."""

    def __init__(self):
        pass

    def query(self, q):
        return [np.full((12, 6, 3), 40 * q, np.uint8)]

    def gallery(self, g):
        return [np.full((12, 6, 3), {2: 40, 1: 250}.get(int(g), 0), np.uint8)]


def test_which_queries(scored):
    assert choices.valid_queries(scored).tolist() == [0, 1, 2, 3]
    assert choices.correct_at_rank_1(scored).tolist() == [0, 3]
    ranks = scored.ranking.first_rank
    last = choices.worst_failures(scored)
    assert set(last.tolist()) == {1, 2}
    assert ranks[last[0]] >= ranks[last[1]] > 1
    assert choices.most_similar_failures(scored, Frames()).tolist() == [1, 2]
    assert choices.evenly_spaced(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert choices.evenly_spaced(np.arange(2), 4).tolist() == [0, 1]
    assert choices.evenly_spaced(np.arange(0), 4).tolist() == []


def test_rows_hold_the_first_results_and_the_first_right_one(scored, monkeypatch):
    monkeypatch.setattr(choices, "NUM_RESULTS", 1)
    first, second = choices.ranked_rows(scored, np.array([0, 2]), Frames())
    assert [(r.rank, r.is_match) for r in first.results] == [(1, True)]
    rank = int(scored.ranking.first_rank[2])
    assert [(r.rank, r.is_match) for r in second.results] == [(1, False), (rank, True)]
    assert second.query.caption == "person 3 camera 1"
    assert second.results[0].caption == "person 2 camera 2"
    # Junk (pid -1) is as near to query 0 as the right one and is not shown.
    monkeypatch.setattr(choices, "NUM_RESULTS", 10)
    (row,) = choices.ranked_rows(scored, np.array([0]), Frames())
    assert len(row.results) == 4
