"""Second ids: against a slow implementation of the same rules, and by hand."""

import numpy as np
import pytest

from reid_jax.retrieval import ranking, shared_ids
from reid_jax.retrieval.shared_ids import Ids


def _slow(distances, query: Ids, gallery: Ids):
    """AP and rank of the first right match of each query, one entry after another."""
    scores = []
    for q, row in enumerate(distances):
        mine = {i for i in (query.pids[q], query.others[q]) if i > 0}
        hits = rank = first = 0
        precisions = []
        for g in np.argsort(row, kind="stable"):
            theirs = {i for i in (gallery.pids[g], gallery.others[g]) if i > 0}
            same_camera = gallery.camids[g] == query.camids[q]
            if gallery.pids[g] == -1:
                continue
            if same_camera and (mine & theirs or gallery.pids[g] == 0):
                continue
            rank += 1
            if mine & theirs:
                hits += 1
                first = first or rank
                precisions.append(hits / rank)
        scores.append((np.mean(precisions), first) if hits else (np.nan, np.nan))
    return np.array(scores).T


def _random(rng, num, *, least):
    pids = rng.integers(least, 6, num)
    others = np.where(rng.random(num) < 0.3, rng.integers(-1, 8, num), pids)
    return Ids(pids, others, rng.integers(0, 3, num))


def test_as_the_slow_implementation():
    rng = np.random.default_rng(0)
    for _ in range(5):
        query, gallery = _random(rng, 20, least=1), _random(rng, 60, least=-1)
        distances = rng.integers(0, 30, (20, 60)).astype("f")  # with ties
        result = shared_ids.evaluate(distances, query, gallery)
        ap, first = _slow(distances, query, gallery)
        np.testing.assert_allclose(result.ap, ap)
        np.testing.assert_array_equal(result.first_rank, first)
        assert result.num_valid == np.isfinite(ap).sum()
        is_kept = shared_ids.are_kept(query, gallery)
        right = shared_ids.share(query, gallery) & is_kept
        assert (right.any(axis=1) == np.isfinite(ap)).all()


def test_without_second_ids_and_distractors_it_is_the_usual_ranking():
    rng = np.random.default_rng(1)
    query, gallery = (
        Ids(rng.integers(1, 4, n), np.zeros(n, int), rng.integers(0, 2, n))
        for n in (8, 30)
    )
    distances = rng.normal(size=(8, 30)).astype("f")
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    usual = ranking.evaluate(distances, *labels)
    found = shared_ids.evaluate(distances, query, gallery)
    np.testing.assert_array_equal(found.ap, usual.ap)
    np.testing.assert_array_equal(found.cmc, usual.cmc)


def test_by_hand():
    query = Ids(*np.array([[1], [7], [0]]))
    gallery = Ids(
        pids=np.array([0, 2, 7, 0, 1]),
        others=np.array([0, 2, 9, 0, 1]),
        camids=np.array([0, 1, 1, 1, 0]),
    )
    # A distractor of the query's camera and its person's tracklet there are taken out:
    # left are wrong, right (by its second id), wrong.
    result = shared_ids.evaluate(np.array([[1.0, 2, 3, 4, 5]]), query, gallery)
    assert (result.ap[0], result.first_rank[0]) == (0.5, 2)
    with pytest.raises(ValueError, match="distances are"):
        shared_ids.evaluate(np.ones((2, 5)), query, gallery)
