"""ROC curves in files and sentences."""

import json

import numpy as np
import pytest

import evaluate
from reid_jax.retrieval import verification
from reid_jax.scoring import roc, scores


def _verified(genuine, impostors):
    pids = np.repeat([1, 2], [len(genuine), len(impostors)])
    row = np.array([[*genuine, *impostors]], np.float32)
    cameras = np.array([0]), np.ones(len(pids), int)
    return verification.evaluate(row, np.array([1]), pids, *cameras)


FEW = _verified([0.1, 2.0], np.arange(1, 21))
MANY = _verified([0.1, 12.4, 500.0], np.arange(1, 1001))
NONE = _verified([0.1, 2.0], [])


def test_summary_is_json_without_made_up_figures():
    found = json.loads(json.dumps(roc.summary(FEW), allow_nan=False))
    assert list(found["at_fpr"]) == ["0.1", "0.01", "0.001", "0.0001"]
    assert found["at_fpr"]["0.1"] == {"tpr": 1.0, "distance": 2.0}
    assert [found["at_fpr"][fpr] for fpr in ("0.01", "0.001", "0.0001")] == [None] * 3
    assert (found["num_genuine"], found["num_impostor"]) == (2, 20)
    found = json.loads(json.dumps(roc.summary(NONE), allow_nan=False))
    assert set(found["at_fpr"].values()) == {None}
    assert found["equal_error_rate"] is found["equal_error_distance"] is None


def test_sentences():
    assert roc.sentence(MANY) == (
        "TPR 33.3 % at FPR 1 % (distance up to 0.1), equal error rate 33.3 %"
    )
    assert roc.sentence(FEW).startswith("TPR 100.0 % at FPR 10 % (distance up to 2)")
    assert roc.sentence(NONE) == "no pairs of different persons"
    reversed_ = _verified([200.0], np.arange(1, 101))
    assert roc.sentence(reversed_).startswith("TPR 0.0 % at FPR 1 %, equal error")


def test_curves_come_back(tmp_path):
    path = tmp_path / "roc.csv"
    found = {"trained, l2": MANY, "few": FEW, "none": NONE}
    scores.write_csv(path, roc.lines(found))
    again = roc.read_curves(path)
    assert list(again) == list(found)
    for name, one in found.items():
        assert again[name] == pytest.approx(roc.curve(one), abs=1e-6)
    assert min(again["trained, l2"]) == pytest.approx(0.001)
    assert min(again["few"]) >= 0.05 and again["none"] == {}
    titles, first, *_ = roc.lines(found)
    assert titles[:3] == ["fpr", "trained, l2", "trained, l2: distance"]
    # As it was compared, not rounded: 0.1 in float32.
    assert first == [0.001, 0.333333, float(np.float32(0.1)), *[None] * 4]


def test_runs_share_a_picture(tmp_path, figures, capsys):
    folders = {}
    for name, found in (("one", MANY), ("two", FEW)):
        folders[tmp_path / name] = folder = tmp_path / name / "eval"
        scores.write_curves(folder / "cmc.csv", {"trained, l2": np.array([0.5, 1.0])})
        scores.write_csv(folder / "roc.csv", roc.lines({"trained, l2": found}))
    evaluate._draw_together(folders)
    assert (tmp_path / "one" / "eval" / "roc_of_runs.png").stat().st_size > 1000
    legend = figures[1].axes[0].get_legend().get_texts()
    assert [text.get_text() for text in legend] == [
        "one: trained, l2 (33.3 % at FPR 1 %)",
        "two: trained, l2",
    ]
    assert "ROC curves of all runs" in capsys.readouterr().out
