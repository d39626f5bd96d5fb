"""config.eval.center_cameras: distances by every metric without the cameras' means."""

import numpy as np
import pytest

from configs import base
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import embeddings, metrics, scores


def _side(seed, num_persons=20, first_person=100):
    """Two tracklets a person in two cameras, which shift every embedding."""
    rng = np.random.default_rng(seed)
    persons = np.random.default_rng(first_person).normal(size=(num_persons, 8))
    shifts = 20 * np.random.default_rng(99).normal(size=(2, 8))
    pids, camids = np.divmod(np.arange(4 * num_persons) // 2, 2)
    rows = persons[pids] + shifts[camids] + 0.2 * rng.normal(size=(len(pids), 8))
    names = np.array([f"t{i}" for i in range(len(pids))])
    return Embedded(rows.astype("f"), pids + first_person, camids, names)


@pytest.fixture
def splits():
    train = _side(0, num_persons=60, first_person=1)
    train.pids[0], train.embeddings[0] = -1, 1e6  # junk is in no mean
    return {"query": _side(1), "gallery": _side(2), "train": train}


@pytest.fixture
def config():
    config = base.get_config()
    config.eval.update(rerank=True, rerank_k1=6, kissme_dim=6)
    return config


@pytest.mark.parametrize("name", metrics.NAMES)
def test_cameras_no_longer_hide_persons(config, splits, name):
    config.eval.metric = name
    mean_ap = {}
    for config.eval.center_cameras in (False, True):
        shown = embeddings.as_scored(splits, config)
        for metric in metrics.build_metrics(config, shown["train"]):
            scored = scores.score("trained", shown, metric, "standard", "step")
            key = metric.rerank, config.eval.center_cameras
            mean_ap[key] = scored.ranking.mean_ap
    assert mean_ap[False, True] > 0.95 and mean_ap[True, True] > 0.95
    if name in ("l2", "cosine"):  # learnt ones see past the shift anyway
        assert mean_ap[False, False] < 0.8 and mean_ap[True, False] < 0.8


def test_which_tracklets_make_a_mean(config, splits):
    assert embeddings.as_scored(splits, config) is splits
    config.eval.center_cameras = True
    shown = embeddings.as_scored(splits, config)
    query, gallery, train = (splits[name] for name in ("query", "gallery", "train"))
    for camid in (0, 1):
        seen = [of.embeddings[of.camids == camid] for of in (query, gallery)]
        mean = np.concatenate(seen).mean(axis=0, dtype=float)
        for name, rows in zip(("query", "gallery"), seen, strict=True):
            found = shown[name].embeddings[splits[name].camids == camid]
            np.testing.assert_allclose(found, rows - mean, atol=1e-4)
        is_person = (train.camids == camid) & (train.pids != -1)
        found = shown["train"].embeddings[is_person]
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    for name, of in splits.items():
        assert shown[name].tracklets is of.tracklets
    assert embeddings.as_scored({k: splits[k] for k in ("query", "gallery")}, config)


def test_it_is_named_among_the_conditions(config):
    asked = config.eval
    assert scores.conditions(asked) == []
    asked.update(max_frames=3, noise=0.01, center_cameras=True)
    assert scores.conditions(asked) == [
        "the first 3 frames of each tracklet",
        "with noise of variance 0.01",
        "without the mean embedding of each camera",
    ]
