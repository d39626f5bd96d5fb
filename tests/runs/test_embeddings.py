"""reid_jax/runs/embeddings.py and scores.py."""

import numpy as np
import pytest

from configs import base
from reid_jax.retrieval import ranking
from reid_jax.runs.embeddings import Embedded, EmbeddedDataset, embed_tracklets
from reid_jax.scoring import metrics, scores

BATCHES = [
    {"clips": np.array([1.0, 3.0, 10.0]), "tracklet": np.array([0, 0, 2])},
    {"clips": np.array([20.0, 5.0, 99.0]), "tracklet": np.array([2, 1, -1])},
]


def _embed(clips):
    return np.stack([clips, -clips], axis=1)


def test_a_tracklet_is_the_mean_of_its_clips():
    result = embed_tracklets(_embed, BATCHES, 3)
    np.testing.assert_array_equal(result, [[2, -2], [5, -5], [15, -15]])


def test_missing_and_bad_embeddings():
    with pytest.raises(ValueError, match=r"1 of 4 tracklets have no clip.*number 3"):
        embed_tracklets(_embed, BATCHES, 4)
    with pytest.raises(ValueError, match=r"1 tracklets are not finite.*number 1"):
        embed_tracklets(lambda c: np.where(c == 5, np.nan, c)[:, None], BATCHES, 3)


def _side(num, seed):
    rng = np.random.default_rng(seed)
    names = np.array([f"t{i}" for i in range(num)])
    pids, camids = rng.integers(0, 3, num), rng.integers(0, 2, num)
    return Embedded(rng.normal(size=(num, 4)).astype("f"), pids, camids, names)


def test_a_file_of_embeddings_comes_back(tmp_path):
    methods = {
        "trained": {"query": _side(3, 0), "gallery": _side(5, 1), "train": _side(4, 2)},
        "color_histogram": {"query": _side(3, 0), "gallery": _side(5, 1)},
    }
    given = EmbeddedDataset(methods, "step 7", ("torchreid", "official"))
    given.save(tmp_path / "eval" / "embeddings.npz")
    read = EmbeddedDataset.load(tmp_path / "eval" / "embeddings.npz")
    assert (read.source, read.protocols) == (given.source, given.protocols)
    assert list(read.methods) == list(methods)
    for method, splits in methods.items():
        assert list(read.methods[method]) == list(splits)
        for name, one in splits.items():
            other = read.methods[method][name]
            for field in ("embeddings", "pids", "camids", "tracklets"):
                np.testing.assert_array_equal(
                    getattr(one, field), getattr(other, field)
                )


def test_official_protocol_ranks_the_queries_too(tmp_path):
    query, gallery = _side(6, 0), _side(9, 1)
    config = base.get_config()
    rows = {}
    splits = {"query": query, "gallery": gallery}
    for protocol in ("torchreid", "official"):
        scored = scores.score(
            "trained", splits, metrics.of_training(config), config, protocol
        )
        rows[protocol] = scored.row()
        scored.write_queries(tmp_path / "queries.csv")
        lines = (tmp_path / "queries.csv").read_text().splitlines()
        assert len(lines) == 7 and lines[0].startswith("tracklet,pid,camid,first_rank")
        assert scored.distances.shape == (6, len(scored.gallery.pids))
    assert rows["torchreid"]["num_gallery"] == 9
    assert rows["official"]["num_gallery"] == 15
    table = scores.format_table(list(rows.values()))
    assert table.splitlines()[0].split()[:9] == [
        "method",
        "metric",
        "re-rank",
        "protocol",
        "AP",
        "mAP",
        "95",
        "%",
        "mINP",
    ]
    assert "official" in table


def test_chance_ranks_are_the_mean_over_random_orders():
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, 30), rng.integers(0, 3, 30)
    gallery = Embedded(rng.normal(size=(30, 2)).astype("f"), *labels, np.arange(30))
    query = Embedded(
        np.zeros((4, 2), "f"),
        np.array([1, 2, 3, 9]),
        np.array([0, 1, 2, 0]),
        np.arange(4),
    )
    ranks = []
    for _ in range(3000):
        result = ranking.evaluate(
            rng.random((4, 30)), query.pids, labels[0], query.camids, labels[1]
        )
        ranks.append(result.first_rank)
    config = base.get_config()
    chance = scores.score(
        "trained",
        {"query": query, "gallery": gallery},
        metrics.of_training(config),
        config,
        "standard",
    ).chance_ranks()
    assert np.isnan(chance[3])
    np.testing.assert_allclose(np.mean(ranks, axis=0)[:3], chance[:3], rtol=0.05)
