"""reid_jax/scoring/studies.py on a trained run of walkers/tiny."""

import json
import shutil

import numpy as np
import pytest

import evaluate
from reid_jax.errors import UserError
from reid_jax.input import noise
from reid_jax.runs.run import Run
from reid_jax.scoring import corruptions, studies, study_names


@pytest.fixture(scope="module")
def workdir(trained, tmp_path_factory):
    return shutil.copytree(trained, tmp_path_factory.mktemp("studies") / "run")


@pytest.fixture
def config(tiny_run):
    """The config of `trained`."""
    tiny_run.train.max_steps = 2
    return tiny_run


def test_more_frames_until_there_are_no_more(config, workdir, capsys):
    rows = studies.run_study(Run(workdir, config), "frames", (1, 2, 1000)).rows
    assert [row["level"] for row in rows] == [None, 1, 2, 1000]
    assert rows[0]["mean_ap"] == rows[3]["mean_ap"]
    assert rows[0]["mean_ap"] != rows[1]["mean_ap"]
    printed = capsys.readouterr().out
    T = config.model.clip_length
    assert f"shorter than the network's {T} and are filled cyclically" in printed
    folder = workdir / "eval" / "walkers-tiny"
    stored = json.loads((folder / "study_frames.json").read_text())
    assert stored["rows"] == rows and stored["study"] == "frames"
    # The limit is also a field of its own; the stored embeddings are not mixed up.
    config.eval.max_frames = 1
    (row,) = evaluate.evaluate(config, workdir)
    assert row["mean_ap"] == rows[1]["mean_ap"]
    config.eval.max_frames = None
    (row,) = evaluate.evaluate(config, workdir)
    assert row["mean_ap"] == rows[0]["mean_ap"]


@pytest.mark.slow
def test_noise_is_also_a_field_of_its_own(config, workdir, capsys):
    rows = studies.run_study(Run(workdir, config), "noise", (0.01,)).rows
    config.eval.update(noise=0.01, baselines=True)
    trained, _, histogram = evaluate.evaluate(config, workdir)
    assert rows[0]["mean_ap"] != rows[1]["mean_ap"] == trained["mean_ap"]
    assert "with noise of variance 0.01\n" in capsys.readouterr().out
    summary = json.loads((workdir / "eval/walkers-tiny/scores.json").read_text())
    assert summary["conditions"] == ["with noise of variance 0.01"]
    # A study's own levels take its place.
    assert studies.run_study(Run(workdir, config), "noise", (0.01,)).rows == rows
    config.eval.batch_clips = 16  # the noise of a clip is that of its number
    (workdir / "eval/walkers-tiny/embeddings.npz").unlink()
    again, *_ = evaluate.evaluate(config, workdir)
    assert again["mean_ap"] == pytest.approx(trained["mean_ap"], abs=1e-6)
    config.eval.noise = 0.0
    plain, _, of_plain = evaluate.evaluate(config, workdir)
    assert plain["mean_ap"] == rows[0]["mean_ap"]
    assert {histogram["method"], of_plain["method"]} == {"color_histogram"}
    assert histogram["mean_ap"] != of_plain["mean_ap"]


def test_a_metric_is_learnt_without_noise(config, workdir):
    config.eval.metric = "kissme"
    config.eval.kissme_dim = 4
    train = {}
    for config.eval.noise in (0.0, 0.01):
        evaluate.evaluate(config, workdir)
        run = Run(workdir, config)
        names = ("query", "gallery", "train")
        train[config.eval.noise] = {name: run.embed_split(name) for name in names}
    with_noise, without = train[0.01], train[0.0]
    for name in ("query", "gallery", "train"):
        one, other = with_noise[name].embeddings, without[name].embeddings
        assert np.array_equal(one, other) == (name == "train")


def test_camera_means_are_a_condition_of_scores_and_studies(config, workdir, capsys):
    mean_ap = {}
    for config.eval.center_cameras in (False, True):
        (row,) = evaluate.evaluate(config, workdir)
        run = Run(workdir, config)
        rows = studies.load_or_run(run, "frames", (1,)).rows
        assert rows[0]["mean_ap"] == row["mean_ap"]
        mean_ap[config.eval.center_cameras] = [row["mean_ap"] for row in rows]
    assert mean_ap[False] != mean_ap[True]
    words = "without the mean embedding of each camera"
    assert capsys.readouterr().out.count(f", {words}\n") == 1
    for name in ("scores", "calibration"):
        written = json.loads((run.folder / f"{name}.json").read_text())
        assert written["conditions"] == [words]


def test_sides_and_several_metrics(config, workdir):
    config.eval.metric = "l2,cosine"
    run = Run(workdir, config)
    of_side = {
        side: studies.run_study(run, "noise", (0, 1), side).rows
        for side in study_names.SIDES
    }
    for rows in of_side.values():
        assert [row["metric"] for row in rows] == ["l2", "cosine"] * 3
        # No noise is the clips as they are.
        np.testing.assert_allclose(rows[2]["mean_ap"], rows[0]["mean_ap"], atol=1e-6)
    noisy = {side: rows[-1]["mean_ap"] for side, rows in of_side.items()}
    assert len(set(noisy.values())) == 3
    assert (workdir / "eval/walkers-tiny/study_noise_query.json").exists()


def test_the_two_sides_are_disturbed_independently():
    clips = np.full((2, 3, 32, 16, 3), 128, np.uint8)

    def noisy(split):
        keys = noise.clip_keys(0, split, 0, len(clips))
        return np.asarray(noise.add_noise(clips, 1e-3, keys), float)

    np.testing.assert_array_equal(noisy("query"), noisy("query"))
    difference = noisy("query") - noisy("gallery")
    assert difference.std() > 1.3 * noisy("query").std()


def test_an_attack_uses_the_run_s_own_network(config, workdir):
    clips = np.random.default_rng(0).integers(0, 256, (4, 3, 32, 16, 3), np.uint8)
    keys = noise.clip_keys(0, "query", 0, len(clips))
    network = Run(workdir, config).network

    def moved(name, level):
        apply = corruptions.CORRUPTIONS[name].apply
        changed = apply(clips, level, keys, network.embed)
        difference = np.asarray(network(changed)) - np.asarray(network(clips))
        return float((difference**2).sum(1).mean())

    level = moved("noise", (8 / 255) ** 2)
    assert moved("pgd", 8) > moved("fgsm", 8) > 2 * level > 0


@pytest.mark.parametrize(
    ("name", "levels", "side", "message"),
    [
        ("fog", (), "both", "--study=fog is unknown; known: frames, noise, blur"),
        ("noise", (), "left", "--side=left is unknown; known: both, query, gallery"),
        (
            "noise",
            (-1,),
            "both",
            "-1 is no variance of the noise: a number from 0 to 1",
        ),
        ("noise", (float("nan"),), "both", "nan is no variance"),
        ("frames", (0,), "both", "0 is no frames of a tracklet: a whole number from 1"),
        ("frames", (1.5,), "both", "1.5 is no frames of a tracklet"),
        ("jpeg", (101,), "both", "101 is no JPEG quality"),
    ],
)
def test_bad_settings(name, levels, side, message):
    with pytest.raises(UserError, match=message):
        studies.check_study(name, levels, side)
