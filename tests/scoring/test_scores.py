"""Tables of scores as text."""

import dataclasses
import types

import numpy as np
import pytest

from reid_jax.errors import UserError
from reid_jax.report import choices
from reid_jax.retrieval import ranking
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import metrics, scores, text_tables


def _row(mean_ap, **changes):
    cmc = {str(rank): mean_ap for rank in scores.CMC_RANKS}
    names = {"method": "trained", "metric": "l2", "protocol": "standard", "ap": "all"}
    row = {"rerank": False, "mean_ap": mean_ap, "mean_inp": 0.1, "cmc": cmc}
    return {**names, **row, **changes}


def test_means_of_runs_have_the_deviation_of_a_sample():
    tables = [[_row(x), _row(0.5, rerank=True)] for x in (0.2, 0.4, 0.3)]
    lines = text_tables.format_means(tables).splitlines()
    assert lines[2].split() == [
        *("trained", "l2", "no", "standard"),
        *("30.0±10.0", "10.0±0.0"),
        *["30.0±10.0"] * 4,
    ]
    assert "yes" in lines[3] and "50.0±0.0" in lines[3]


def test_headings_of_tables_fit_100_columns():
    longest = {"method": "color_histogram", "num_queries": 1980, "num_valid": 1980}
    longest |= {"num_gallery": 11310, "interval_95": {"mean_ap": [0.95, 0.99]}}
    row = _row(0.97, protocol="torchreid", **longest)
    lines = text_tables.format_table([row]).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[-1] == (
        "torchreid: 1,980 of 1,980 queries have a match among 11,310 gallery "
        "tracklets; all AP"
    )
    row["method"] = "trained"
    assert max(map(len, text_tables.format_means([[row]] * 3).splitlines())) <= 100


def test_means_of_studies_name_the_level():
    tables = [[_row(x, level=0.001), _row(x, level=None)] for x in (0.2, 0.4)]
    lines = text_tables.format_means(tables).splitlines()
    assert "level" in lines[0]
    assert lines[2].split() == [
        *("0.001", "l2", "no", "standard", "30.0±14.1", "10.0±0.0"),
        *["30.0±14.1"] * 4,
    ]
    assert lines[3].startswith("unchanged")


def test_runs_of_different_rows_have_no_mean():
    tables = [[_row(0.2)], [_row(0.2, metric="xqda")]]
    with pytest.raises(ValueError, match="different rows"):
        text_tables.format_means(tables)


def _side(num, seed):
    rng = np.random.default_rng(seed)
    names = np.array([f"t{i}" for i in range(num)])
    pids, camids = rng.integers(0, 3, num), rng.integers(0, 2, num)
    return Embedded(rng.normal(size=(num, 4)).astype("f"), pids, camids, names)


def test_official_protocol_ranks_the_queries_too(tmp_path):
    query, gallery = _side(6, 0), _side(9, 1)
    rows = {}
    splits = {"query": query, "gallery": gallery}
    for protocol in ("torchreid", "official"):
        metric = metrics.training_metric("l2")
        scored = scores.score("trained", splits, metric, protocol, "step")
        rows[protocol] = scored.row()
        scored.write_queries(tmp_path / "queries.csv")
        lines = (tmp_path / "queries.csv").read_text().splitlines()
        assert len(lines) == 7 and lines[0].startswith("tracklet,pid,camid,first_rank")
        assert scored.distances.shape == (6, len(scored.gallery.pids))
    assert rows["torchreid"]["num_gallery"] == 9
    assert rows["official"]["num_gallery"] == 15
    table = text_tables.format_table(list(rows.values()))
    titles = "method metric re-rank protocol mAP 95 % mINP"
    assert table.splitlines()[0].split()[:8] == titles.split()
    assert "official" in table


def test_no_distractor_takes_person_0_out():
    query, gallery = _side(6, 0), _side(9, 1)
    query = dataclasses.replace(query, pids=query.pids + 1)
    splits = {"query": query, "gallery": gallery}
    metric = metrics.training_metric("l2")
    scored = scores.score("trained", splits, metric, "no_distractor", "step")
    is_kept = gallery.pids != 0
    expected = ranking.evaluate(
        np.asarray(metric.distances(query.embeddings, gallery.embeddings[is_kept])),
        *(query.pids, gallery.pids[is_kept], query.camids, gallery.camids[is_kept]),
    )
    assert 0 < is_kept.sum() < 9
    assert scored.row()["num_gallery"] == is_kept.sum()
    np.testing.assert_array_equal(scored.ranking.ap, expected.ap)
    np.testing.assert_array_equal(scored.ranking.cmc, expected.cmc)


def test_clean_scores_by_the_cleaned_labels(tmp_path):
    names = np.array(["a", "b", "c", "d", "e", "f"])
    query = Embedded(
        np.array([[0.0], [9.0]], "f"), np.array([1, 2]), np.array([0, 0]), names[:2]
    )
    gallery = Embedded(
        np.array([[1.0], [2.0], [3.0], [4.0]], "f"),
        *(np.array([0, 2, 3, 1]), np.array([0, 1, 1, 1]), names[2:]),
    )
    # d becomes a distractor of another camera, e shows 3 and 1.
    labels = {"a": [1, 1], "b": [2, 2], "c": [0, 0], "d": [0, 0], "e": [3, 1]}
    labels["f"] = [1, 1]
    splits, metric = {"query": query, "gallery": gallery}, metrics.training_metric("l2")
    scored = scores.score("trained", splits, metric, "clean", "step", labels)
    # Query a: d is wrong, e and f are right. Nobody is left for query b.
    np.testing.assert_allclose(scored.ranking.ap, [(1 / 2 + 2 / 3) / 2, np.nan])
    row = scored.row()
    assert (row["num_valid"], row["num_gallery"]) == (1, 3)
    np.testing.assert_allclose(scored.chance_ranks(), [4 / 3, np.nan])
    assert row["verification"]["num_genuine"] == 1  # e, of two persons, is left out
    scored.write_queries(tmp_path / "queries.csv")
    rows = choices.ranked_rows(scored, np.array([0]), _NoFrames())
    assert [(r.distance, r.is_match) for r in rows[0].results] == [
        *((2.0, False), (3.0, True), (4.0, True))
    ]


class _NoFrames(choices.Frames):
    def __init__(self):
        self.query = self.gallery = lambda index: []


def test_protocols_that_are_named_lead():
    source = types.SimpleNamespace(
        name="mars", protocols=("torchreid", "official"), more_protocols=("clean",)
    )
    assert scores.headline("clean", source) == "clean"
    with pytest.raises(UserError, match="one of mars's: torchreid, official, clean"):
        scores.headline("cuhk03", source)


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
    chance = scores.score(
        "trained",
        {"query": query, "gallery": gallery},
        metrics.training_metric("l2"),
        "standard",
        "step",
    ).chance_ranks()
    assert np.isnan(chance[3])
    np.testing.assert_allclose(np.mean(ranks, axis=0)[:3], chance[:3], rtol=0.05)
