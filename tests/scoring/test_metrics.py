"""reid_jax/scoring/metrics.py: distances by name, learnt ones and re-ranked ones."""

import numpy as np
import pytest

from configs import base
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import metrics, scores


def _side(seed, num_persons, num_cameras, first_person=1, shift=8):
    """Two tracklets a person and camera; half of the dimensions are the camera's."""
    rng = np.random.default_rng(seed)
    persons = np.random.default_rng(first_person).normal(size=(num_persons, 6))
    cameras = shift * np.random.default_rng(99).normal(size=(num_cameras, 6))
    rows = [
        (np.concatenate([persons[p], cameras[c]]), first_person + p, c)
        for p in range(num_persons)
        for c in range(num_cameras)
        for _ in range(2)
    ]
    features, pids, camids = map(np.array, zip(*rows, strict=True))
    noisy = features + 0.3 * rng.normal(size=features.shape)
    names = np.array([f"t{i}" for i in range(len(pids))])
    return Embedded(noisy.astype("f"), pids, camids, names)


@pytest.fixture
def config():
    return base.get_config()


@pytest.mark.parametrize("num_cameras", [2, 3])
def test_learnt_metrics_see_past_the_cameras(config, num_cameras):
    config.eval.metric = "l2, xqda,kissme"
    config.eval.kissme_dim = 12
    train = _side(0, 60, num_cameras)
    junk = Embedded(*(np.concatenate([getattr(train, f)[:1]]) for f in vars(train)))
    junk.pids[:] = -1
    junk.embeddings[:] = np.nan
    both = Embedded(
        *(np.concatenate([getattr(train, f), getattr(junk, f)]) for f in vars(train))
    )
    query = _side(1, 20, num_cameras, first_person=100)
    gallery = _side(2, 20, num_cameras, first_person=100)
    reached = {}
    for metric in metrics.build_metrics(config, both):
        scored = _scored(query, gallery, metric)
        reached[metric.name] = scored.ranking.mean_ap
    assert list(reached) == ["l2", "xqda", "kissme"]
    assert min(reached["xqda"], reached["kissme"]) > 0.8 > 0.2 > reached["l2"]


@pytest.mark.parametrize("name", metrics.NAMES)
def test_re_ranking_adds_a_row_for_each_metric(config, name):
    config.eval.metric, config.eval.rerank = name, True
    config.eval.rerank_k1, config.eval.kissme_dim = 6, 12
    train = _side(0, 60, 2, shift=1)
    query, gallery = (_side(i, 9, 2, first_person=100, shift=1) for i in (1, 2))
    plain, again = metrics.build_metrics(config, train)
    assert (plain.rerank, again.rerank, again.name) == (False, True, name)
    scored = [_scored(query, gallery, m) for m in (plain, again)]
    assert [s.row()["rerank"] for s in scored] == [False, True]
    assert [s.name(("a",)) for s in scored] == [
        f"trained, {name}",
        f"trained, {name}, re-ranked",
    ]
    one, other = _orders(query, gallery, config, train)
    assert (one != other).any()
    # With all the weight on the distances themselves the order is the plain one.
    config.eval.rerank_lambda = 1.0
    np.testing.assert_array_equal(*_orders(query, gallery, config, train))


def _orders(query, gallery, config, train):
    return [
        np.argsort(m.distances(query.embeddings, gallery.embeddings), axis=1)
        for m in metrics.build_metrics(config, train)
    ]


def _scored(query, gallery, metric):
    splits = {"query": query, "gallery": gallery}
    return scores.score("trained", splits, metric, "standard", "step")


def test_what_cannot_be():
    for text in ("l2,manhattan", "", " , "):
        (problem,) = metrics.problems(text)
        assert "known, one or several with commas: l2" in problem
    assert metrics.problems("l2,xqda") == []
    assert metrics.are_learnt("l2,xqda") and not metrics.are_learnt("l2,cosine")
    assert metrics.training_metric("xqda,cosine").name == "cosine"
    assert metrics.training_metric("xqda").name == "l2"


def test_expanded_queries_lie_nearer_to_their_person(config):
    """Each metric with a way to expand is a row of its own; re-ranked ones too."""
    config.eval.metric, config.eval.rerank = "l2,l2+qe,l2+qe+dba", True
    config.eval.expansion_k, config.eval.rerank_k1 = 2, 6
    query, gallery = (_side(i, 12, 2, first_person=100, shift=0) for i in (1, 2))
    query.embeddings[:] += np.random.default_rng(5).normal(size=query.embeddings.shape)
    built = metrics.build_metrics(config, None)
    assert [(m.name, m.rerank) for m in built] == [
        (name, rerank)
        for name in ("l2", "l2+qe", "l2+qe+dba")
        for rerank in (False, True)
    ]
    reached = [_scored(query, gallery, metric).ranking.mean_ap for metric in built]
    assert min(reached[2], reached[4]) > reached[0]
    assert [metrics.is_expanded(m.name) for m in built] == [False] * 2 + [True] * 4


def test_names_of_expansions():
    assert metrics.problems("l2+qe, xqda+qe+dba") == []
    assert metrics.are_learnt("xqda+qe") and not metrics.are_learnt("l2+qe")
    assert metrics.training_metric("xqda+qe,cosine+qe").name == "cosine"
    for wrong in ("l2+", "l2+dba", "+qe", "l2+qe+qe"):
        (problem,) = metrics.problems(wrong)
        assert "each also with +qe or +qe+dba" in problem
