"""Which runs of a folder are those of a row."""

import pathlib

import numpy as np
import pytest

from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.tables import plans as table_plans
from reid_jax.tables import runs as table_runs


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Makes the folder of a finished run: a config without a network."""
    with_checkpoint = set()
    monkeypatch.setattr(
        checkpoints.Checkpoints,
        "latest_step",
        lambda self: 5 if self._workdir in with_checkpoint else None,
    )
    init = checkpoints.Checkpoints.__init__

    def remember(self, workdir, *args, **kwargs):
        self._workdir = pathlib.Path(workdir)
        init(self, workdir, *args, **kwargs)

    monkeypatch.setattr(checkpoints.Checkpoints, "__init__", remember)

    def make(plan, name, *, seed=0, start=None, **changes):
        config = plan.training_config(tmp_path, seed, start)
        config.update_from_flattened_dict(changes)
        run_folder.claim_config(tmp_path / name, config, np.arange(2), "data")
        run_folder.mark_finished(tmp_path / name, 5)
        with_checkpoint.add(tmp_path / name)
        return tmp_path / name

    make.with_checkpoint = with_checkpoint
    return make


def _missing(number, folder, num_seeds):
    plans = table_plans.plans(number, preset="small")
    return table_runs.missing_runs(plans, table_runs.read(folder), num_seeds)


def test_what_may_differ_and_what_may_not(tmp_path, run):
    (plan, *_) = table_plans.plans("4", preset="small")
    equal_run = run(plan, "same", seed=3, **{"eval.metric": "cosine"})
    run(plan, "also", seed=1, **{"train.log_every_steps": 7})
    run(plan, "longer", **{"train.max_steps": 3})
    run(plan, "other", **{"model.temporal": "max"})
    run(plan, "elsewhere", **{"data.name": "mars"})
    run(plan, "pretrained", **{"init_from": "weights/x.pth"})
    runs = table_runs.read(tmp_path)
    assert runs.workdirs(plan) == {1: tmp_path / "also", 3: equal_run}
    assert runs.left_out == []
    missing = _missing("4", tmp_path, 2)
    assert [(w.plan.row.name, w.seed) for w in missing] == [
        *(("softmax", 0), ("sigmoid", 0), ("sigmoid", 1))
    ]


def test_what_is_left_out_is_named(tmp_path, run):
    (plan, *_) = table_plans.plans("4", preset="small")
    good = run(plan, "good")
    twin = run(plan, "twin")
    run(plan, "unfinished")
    (tmp_path / "unfinished" / "finished.json").unlink()
    run(plan, "damaged")
    (tmp_path / "damaged" / "config.json").write_text("{")
    run.with_checkpoint.remove(run(plan, "empty"))
    runs = table_runs.read(tmp_path)
    assert runs.workdirs(plan) == {0: good}
    assert runs.duplicates(plan) == [twin]
    assert len(runs.left_out) == 3
    for text in ("damaged/config.json", "unfinished is not f", "empty holds no check"):
        assert any(text in reason for reason in runs.left_out)


def test_training_further_is_not_finished(tmp_path, run):
    (plan, *_) = table_plans.plans("4", preset="small")
    workdir = run(plan, "run")
    run_folder.claim_config(
        workdir, plan.training_config(tmp_path, 0), np.arange(2), "data"
    )
    assert not run_folder.is_finished(workdir)


def test_a_start_counts_wherever_it_is(tmp_path, run):
    (lstm, *_) = table_plans.plans("8", preset="small")
    image = run(lstm.first, "my_image")
    missing = _missing("8", tmp_path, 1)
    assert [w.plan.row.name for w in missing] == ["LSTM", "GRU"]
    assert all(w.config.init_from == str(image) for w in missing)
    assert all(f"--config.init_from={image}" in w.command for w in missing)
    # From nothing, or from another network, it is not the row's.
    other = run(lstm.first, "other", **{"model.clip_length": 2})
    run(lstm, "from_other", start=other)
    run(lstm, "from_nothing", **{"init_from": None})
    run(lstm, "from_gone", start=tmp_path / "gone")
    assert table_runs.read(tmp_path).workdirs(lstm) == {}
    second_run = run(lstm, "own", start=image)
    assert table_runs.read(tmp_path).workdirs(lstm) == {0: second_run}


def test_what_others_start_from_comes_first(tmp_path):
    missing = _missing("8", tmp_path, 2)
    names = [w.workdir.name.partition("-")[0] for w in missing]
    assert names == ["image", "rnn", "image", "rnn", "rnn", "rnn"]
    commands = [w.command for w in missing]
    assert f"--config.init_from={missing[0].workdir}" in commands[1]
    assert len(set(commands)) == 6


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="file is no folder"):
        table_runs.read(tmp_path / "file")
    assert table_runs.read(tmp_path / "absent").configs == {}


def test_splits_of_paper_2_are_seeds(tmp_path, run):
    plan = table_plans.plans("II")[0]
    workdir = run(plan, "run", seed=3)
    runs = table_runs.read(tmp_path)
    for row in table_plans.plans("I"):
        expected = {3: workdir} if row.row.config == "c3d_joint.py" else {}
        assert runs.workdirs(row) == expected
