"""What cannot be scored is known before anything is decoded or compiled."""

import pathlib
import types

import numpy as np
import pytest

import evaluate
import train
from configs import base
from data import prepare
from reid_jax import errors
from reid_jax.input import datasets, files, frame_cache
from reid_jax.scoring import requirements
from tests import source_layouts


def _source(query, gallery, num_train=1):
    """A source with splits of (pid, camid) rows, and no frames."""
    config = base.get_config()
    config.data.name, config.data.p = "tracklet_folder/hall", 1
    rows = ([(1, 0)] * num_train, query, gallery)
    return files.FilesSource(
        config, datasets.Dataset(*map(_split, rows), ("standard",))
    )


def _split(rows) -> frame_cache.CachedSplit:
    pids, camids = np.array(rows, int).reshape(-1, 2).T
    none = np.zeros(0, int)
    return frame_cache.CachedSplit(
        names=np.array([f"{n}" for n in range(len(rows))], np.str_),
        pids=pids,
        camids=camids,
        num_frames=np.ones_like(pids),
        sizes=none,
        path=pathlib.Path("nowhere"),
        offsets=none,
    )


@pytest.mark.parametrize(
    ("query", "gallery", "expected"),
    [
        (
            [(1, 0), (2, 0)],
            [(1, 0), (2, 0)],
            "All tracklets are of camera 0: give each",
        ),
        ([(1, 0), (2, 1)], [(1, 0), (3, 1)], "none of its 2 queries has its person in"),
        ([(1, 0)], [(0, 1), (-1, 1), (1, 0)], "--rebuild"),
        ([(1, 0)], [(1, 0), (1, 1)], None),
        ([(1, 0), (2, 0)], [(1, 0), (2, 3)], None),
    ],
)
def test_a_query_needs_its_person_under_another_camera(query, gallery, expected):
    source = _source(query, gallery)
    if expected is None:
        requirements.check(base.get_config(), source)
        return
    with pytest.raises(errors.UserError, match=expected):
        requirements.check(base.get_config(), source)


def test_only_learnt_metrics_need_a_training_split():
    config, source = base.get_config(), _source([(1, 0)], [(1, 1)], num_train=0)
    config.eval.metric = "l2,cosine"
    requirements.check(config, source)
    config.eval.metric = "l2,kissme"
    with pytest.raises(errors.UserError, match=r"kissme cannot be learnt, tracklet_fo"):
        requirements.check(config, source)


@pytest.fixture
def prepared(tmp_path, tiny_run):
    """Prepares a tracklet folder after a change of its manifest; gives the config."""

    def prepared(name: str, change):
        source = tmp_path / name
        source_layouts.write_tracklet_folder(source, num_frames=2)
        path = source / "tracklets.csv"
        path.write_text(change(path.read_text()))
        builder = prepare.find_builder(f"tracklet_folder/{name}", tmp_path / "datasets")
        prepare.build(builder, source)
        tiny_run.data.name = f"tracklet_folder/{name}"
        tiny_run.data.data_dir, tiny_run.data.p = str(tmp_path / "datasets"), 1
        return tiny_run

    return prepared


def _without_train(text: str) -> str:
    return "".join(x for x in text.splitlines(True) if ",train," not in x)


def test_a_folder_without_a_training_split_is_scored_only(prepared, tmp_path, capsys):
    config = prepared("test_only", _without_train)
    assert "no tracklet to train on: it can be scored only" in capsys.readouterr().err
    source = files.FilesSource(config)
    assert [len(source.split(s)) for s in ("train", "query", "gallery")] == [0, 1, 2]
    assert next(source.eval_batches("gallery"))["tracklet"][0] == 0
    with pytest.raises(errors.UserError, match="has no training split: it can be sco"):
        train.train(config, tmp_path / "run")
    assert source.steps_per_epoch == 0


def test_one_camera_is_known_before_the_first_step(
    prepared, tmp_path, capsys, monkeypatch
):
    config = prepared("one", lambda text: text.replace(",1,gallery", ",0,gallery"))
    expected = "none of 1 queries has its person in the gallery under another camera"
    assert expected in capsys.readouterr().err
    with pytest.raises(errors.UserError, match=r"one cannot be scored.*--rebuild"):
        train.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    run = types.SimpleNamespace(source=files.FilesSource(config))
    monkeypatch.setattr(evaluate, "Run", lambda *_: run)
    with pytest.raises(errors.UserError, match="one cannot be scored"):
        evaluate.evaluate(config, tmp_path / "run")
