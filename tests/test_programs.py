"""train.py and evaluate.py as a user runs them, on walkers/tiny and a tiny MARS."""

import json
import pathlib
import shutil
import signal

import jax
import numpy as np
import pytest

import evaluate
import train
from data import prepare
from reid_jax.cli import ending
from reid_jax.input import datasets
from reid_jax.runs import checkpoints, meter
from reid_jax.runs import folder as run_folder
from reid_jax.runs import log as metric_log
from reid_jax.runs.run import Run
from reid_jax.scoring import calibration
from tests import mars_layout, processes
from tests.conftest import attention_run


@pytest.fixture(scope="module")
def mars(walkers_tiny, tmp_path_factory):
    """A tiny MARS of the people of walkers/tiny, prepared beside it."""
    source = tmp_path_factory.mktemp("mars")
    mars_layout.write_mars_layout(source, _mars_tracklets(walkers_tiny))
    mars_layout.write_clean_labels(source, {})
    prepare.build(prepare.find_builder("mars", walkers_tiny), source)


def _mars_tracklets(data_dir):
    """The people of walkers/tiny, and some junk and a distractor."""
    walkers = prepare.prepared("walkers/tiny", data_dir)
    for split in datasets.SPLITS:
        for example in walkers.as_data_source(split):
            frames = list(example["frames"])
            yield split, int(example["pid"]), int(example["camid"]), frames
    yield "junk", -1, 0, frames[:1]
    yield "distractor", 0, 1, frames[:1] * 2


@pytest.fixture
def config(walkers_tiny):
    """The config of `trained_attention`."""
    return attention_run(walkers_tiny)


@pytest.fixture
def workdir(trained_attention, tmp_path):
    """A copy of `trained_attention`."""
    return shutil.copytree(trained_attention, tmp_path / "run")


def _final(workdir, config):
    """Parameters of the newest checkpoint, and the log without its clock."""
    state = Run(workdir, config).state
    log = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    for row in log:
        for name in metric_log.TIMES:
            row.pop(name, None)
    return state, log


def test_a_whole_run(trained_attention):
    folder = trained_attention / "eval" / "walkers-tiny"
    summary = json.loads((folder / "scores.json").read_text())
    rows = summary["rows"]
    assert [row["method"] for row in rows] == [
        "trained",
        "untrained",
        "color_histogram",
    ]
    for row in rows:
        assert row["protocol"] == "standard"
        assert (row["metric"], row["ap"], row["rerank"]) == ("l2", "step", False)
        assert 0 < row["mean_ap"] <= 1
        curve = [row["cmc"][rank] for rank in ("1", "5", "10", "20")]
        assert curve == sorted(curve)
        assert row["num_valid"] <= row["num_queries"]
        verification = row["verification"]
        assert 0 <= verification["at_fpr"]["0.1"]["tpr"] <= 1
        assert 0 <= verification["equal_error_rate"] <= 1
        assert (
            verification["at_fpr"]["0.0001"] is None
        )  # walkers/tiny has too few pairs
    thresholds = calibration.read_calibration(folder)
    assert (thresholds.dataset, thresholds.step, thresholds.metric) == (
        "walkers/tiny",
        4,
        "l2",
    )
    assert thresholds.weights == checkpoints.Checkpoints(trained_attention).fingerprint(
        4
    )
    point = rows[0]["verification"]["at_fpr"]["0.1"]
    assert thresholds.threshold(0.1) == (point["distance"], point["tpr"])
    assert (trained_attention / "config.json").exists()
    assert list((trained_attention / "tensorboard").iterdir())
    printed = (trained_attention / "printed.txt").read_text()
    assert "color_histogram" in printed
    assert "trained, l2, same person or not: TPR" in printed
    assert "step 4/4" in printed
    saved = checkpoints.Checkpoints(trained_attention)
    assert saved.latest_step() == 4
    assert saved.best_step() in saved.steps()
    lines = (trained_attention / "metrics.jsonl").read_text().splitlines()
    logged = [row for row in map(json.loads, lines) if "loss" in row]
    assert {
        "loss",
        "triplet",
        "cross_entropy",
        "active_triplets",
        "precision_at_1",
    } <= (logged[0].keys())
    assert {"learning_rate", "frames_per_second"} <= logged[1].keys()


def test_scoring_again_needs_no_network(workdir, config, monkeypatch):
    monkeypatch.setattr(Run, "network", property(lambda _: pytest.fail("network used")))
    config.eval.metric = "cosine"
    config.eval.ap = "trapezoid"
    (row,) = evaluate.evaluate(config, workdir)
    assert (row["metric"], row["ap"]) == ("cosine", "trapezoid")


def test_learnt_metrics_embed_the_training_split_once(
    workdir, config, monkeypatch, capsys
):
    config.eval.metric = "xqda,l2"
    config.eval.rerank = True
    config.eval.rerank_k1 = 4
    config.eval.rerank_k2 = 2
    rows = evaluate.evaluate(config, workdir)
    assert [(row["metric"], row["rerank"]) for row in rows] == [
        ("xqda", False),
        ("xqda", True),
        ("l2", False),
        ("l2", True),
    ]
    assert "xqda    yes" in capsys.readouterr().out
    low, high = rows[0]["interval_95"]["mean_ap"]
    assert low <= rows[0]["mean_ap"] <= high
    pairs = rows[0]["camera_pairs"]
    assert pairs["rank1"][0][0] is None and 0 <= pairs["mean_ap"][0][1] <= 1
    monkeypatch.setattr(Run, "network", property(lambda _: pytest.fail("network used")))
    config.eval.metric = "kissme"
    config.eval.kissme_dim = 4
    assert [row["metric"] for row in evaluate.evaluate(config, workdir)] == [
        "kissme",
        "kissme",
    ]
    config.eval.rerank_k1 = 20
    with pytest.raises(
        ValueError, match=r"config.eval.rerank: k1=20 must be from 1 to"
    ):
        evaluate.evaluate(config, workdir)


def test_damaged_embeddings_are_made_again(workdir, config):
    stored = workdir / "eval/walkers-tiny/embeddings.npz"
    stored.unlink()  # it has the baselines' too
    rows = evaluate.evaluate(config, workdir)
    whole, rng = stored.read_bytes(), np.random.default_rng(0)
    for damaged in (b"", whole[:-100], rng.bytes(300)):
        stored.write_bytes(damaged)
        assert evaluate.evaluate(config, workdir) == rows
        assert stored.stat().st_size == len(whole)


def test_interrupted_and_resumed_is_the_same_run(
    tmp_path, config, trained_attention, monkeypatch
):
    with monkeypatch.context() as patched:
        # In the middle of the second epoch, and between two lines of the log.
        add = meter.Meter.add

        def interrupted(meter, step, metrics):
            add(meter, step, metrics)
            if step == 3:
                signal.raise_signal(signal.SIGTERM)

        patched.setattr(meter.Meter, "add", interrupted)
        with pytest.raises(ending.Terminated):
            train.train(config, tmp_path / "resumed")
    assert checkpoints.Checkpoints(tmp_path / "resumed").latest_step() == 3
    # Lines of a run that went on without saving are not logged twice.
    with (tmp_path / "resumed" / "metrics.jsonl").open("a") as log:
        log.write('{"step": 4, "loss": -1.0}\n{"ste')
    train.train(config, tmp_path / "resumed")
    one, one_log = _final(trained_attention, config)
    other, other_log = _final(tmp_path / "resumed", config)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert other_log == one_log


def test_mars_is_scored_by_both_protocols(tmp_path, config, mars):
    config.data.name = "mars"
    config.train.max_steps = 1
    train.train(config, tmp_path)
    rows = json.loads((tmp_path / "eval/mars/scores.json").read_text())["rows"]
    assert [row["protocol"] for row in rows] == ["torchreid", "official"]
    assert [row["num_gallery"] for row in rows] == [13, 25]  # a distractor, no junk
    assert all(row["num_queries"] == 12 for row in rows)
    config.eval.protocol = "official"
    assert evaluate.evaluate(config, tmp_path)[0]["protocol"] == "official"
    aps = []
    for name in ("no_distractor", "clean"):
        config.eval.protocol = name
        rows = evaluate.evaluate(config, tmp_path)
        assert [row["protocol"] for row in rows] == [name, "torchreid", "official"]
        assert [row["num_gallery"] for row in rows] == [12, 13, 25]
        aps.append(rows[0]["mean_ap"])
    assert aps[0] == aps[1]  # no label was changed by the cleaning
    config.eval.protocol = "cuhk03"
    with pytest.raises(ValueError, match="protocol='cuhk03' is not one of mars's"):
        evaluate.evaluate(config, tmp_path)


def test_a_mixture_is_trained_on_together_and_scored_apart(
    tmp_path, config, mars, capsys
):
    config.train.max_steps = 1
    config.data.mixture = ("walkers/tiny", "mars")
    config.data.mixture_weights = (3.0, 1.0)
    train.train(config, tmp_path)
    printed = capsys.readouterr().out
    assert "training on walkers/tiny: 8 persons" in printed
    assert "training on mars: 8 persons" in printed
    pids = run_folder.load_pids(tmp_path)
    assert len(pids) == len(set(pids)) == 16
    rows = {
        name: json.loads((tmp_path / f"eval/{name}/scores.json").read_text())["rows"]
        for name in ("walkers-tiny", "mars")
    }
    assert [row["protocol"] for row in rows["mars"]] == ["torchreid", "official"]
    assert rows["walkers-tiny"][0]["num_gallery"] == 12
    # Where a run starts from it, the persons count with the names of their datasets.
    config.data.mixture = config.data.mixture_weights = ()
    config.init_from, config.train.max_steps = str(tmp_path), 0
    train.train(config, tmp_path / "second")
    record = json.loads((tmp_path / "second" / "init_from.json").read_text())
    assert "classifier.weight" in record["initialised"]


def test_a_workdir_belongs_to_one_config(trained_attention, config):
    config.train.learning_rate = 1e-5
    config.eval.metric = "cosine"
    with pytest.raises(run_folder.WorkdirError) as error:
        train.train(config, trained_attention)
    assert "train.learning_rate was 0.0003, now 1e-05" in str(error.value)
    assert "eval.metric" not in str(error.value)


@pytest.mark.slow
def test_the_full_network_trains_evaluates_and_resumes(tmp_path, walkers_tiny, mars):
    arguments = [
        *(
            "train.py",
            "--config=configs/attn_tconv.py",
            f"--workdir={tmp_path / 'run'}",
        ),
        *(f"--config.data.data_dir={walkers_tiny}", "--config.data.p=4"),
    ]
    for max_steps in (1, 2):
        ended = processes.run(*arguments, f"--config.train.max_steps={max_steps}")
        assert ended.returncode == 0, ended.stderr
        assert checkpoints.Checkpoints(tmp_path / "run").latest_step() == max_steps
    assert "Resuming" in ended.stdout
    assert "official" in ended.stdout


def test_datasets_of_a_mixture_are_scored_by_position():
    workdir = pathlib.Path("run")
    mixture = ("prid2011/split1", "ilids_vid/split1")
    assert evaluate._of_mixture(mixture, 1, workdir) == "ilids_vid/split1"
    with pytest.raises(ValueError, match="of_mixture=2: run was trained on 2"):
        evaluate._of_mixture(mixture, 2, workdir)


def test_persons_known_from_training_are_warned_of(capsys):
    mixture = ("prid2011/split1", "walkers/hall")
    for name in ("prid2011/split1", "walkers/street", "mars"):
        evaluate._warn_of_known_persons(mixture, name)
    assert not capsys.readouterr().out
    evaluate._warn_of_known_persons(mixture, "prid2011/split0")
    assert "trained on prid2011/split1" in capsys.readouterr().out
