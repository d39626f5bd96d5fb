"""train.py that starts from given weights, and 3-D networks on the main job."""

import json

import numpy as np
import pytest

import train
from configs import c3d
from reid_jax import convert_weights
from reid_jax.models import checkpoint_files
from reid_jax.runs import checkpoints


@pytest.fixture
def config(tiny_config, walkers_tiny):
    tiny_config.data.update(name="walkers/tiny", data_dir=str(walkers_tiny))
    tiny_config.train.max_steps = 2
    tiny_config.eval.pictures = False
    return tiny_config


@pytest.fixture
def c3d_config(walkers_tiny):
    """`configs/c3d.py` with a narrow network and small frames."""
    config = c3d.get_config()
    config.model.update(backbone="c3d_w8", frame_size=(32, 32))
    config.data.update(name="walkers/tiny", data_dir=str(walkers_tiny))
    config.data.resize = (36, 40)
    config.data.update(p=3, k=2)
    config.train.max_steps = 2
    config.train.log_every_steps = 1
    config.eval.batch_clips = 8
    config.eval.pictures = False
    return config


def _scores(workdir):
    path = workdir / "eval/walkers-tiny/scores.json"
    return json.loads(path.read_text())["rows"]


@pytest.mark.slow
def test_c3d_trains_and_resumes(tmp_path, c3d_config):
    c3d_config.train.max_steps = 1
    train.train(c3d_config, tmp_path / "run")
    c3d_config.train.max_steps = 2
    train.train(c3d_config, tmp_path / "run")
    train.train(c3d_config, tmp_path / "straight")
    logs = [
        (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        for name in ("run", "straight")
    ]
    # The dropout of step 2 is the same, whatever ran before it.
    last = [
        next(row["loss"] for row in map(json.loads, log[::-1]) if "loss" in row)
        for log in logs
    ]
    assert last[0] == last[1]
    assert _scores(tmp_path / "run") == _scores(tmp_path / "straight")


@pytest.mark.slow
def test_resnet3d_trains(tmp_path, config):
    config.model.update(backbone="resnet3d14_w8", temporal="none", clip_length=8)
    train.train(config, tmp_path)
    assert 0 < _scores(tmp_path)[0]["mean_ap"] <= 1


@pytest.mark.slow
def test_scoring_given_weights_without_a_step(tmp_path, config, capsys):
    """The way to score an original checkpoint; a conversion changes no score."""
    train.train(config, tmp_path / "first")
    convert_weights.convert(str(tmp_path / "first"), str(tmp_path / "first.npz"))
    config.train.max_steps = 0
    config.train.epochs = 1
    for source in ("first", "first.npz"):
        config.init_from = str(tmp_path / source)
        workdir = tmp_path / f"from_{source}"
        capsys.readouterr()
        train.train(config, workdir)
        printed = capsys.readouterr().out
        assert f"Starting from {config.init_from}" in printed
        assert checkpoints.Checkpoints(workdir).latest_step() == 0
        assert _scores(workdir) == _scores(tmp_path / "first")
        record = json.loads((workdir / "init_from.json").read_text())
        assert record["initialised"] == record["unused"] == []
        assert "layer4.0.bn3.running_var" in record["loaded"]
    # Going on from there is another run's business; a resumed one reads no file.
    (tmp_path / "first.npz").unlink()
    config.train.max_steps = 1
    train.train(config, workdir)
    assert checkpoints.Checkpoints(workdir).latest_step() == 1


def test_weights_that_do_not_fit_leave_nothing_behind(tmp_path, config):
    bad = tmp_path / "bad.npz"
    checkpoint_files.write_checkpoint(bad, {"base.0.weight": np.zeros((8, 3, 7, 7))})
    config.init_from = str(bad)
    with pytest.raises(ValueError, match=r"missing: bn1\.weight \(8,\)"):
        train.train(config, tmp_path / "run")
    config.init_from = None
    config.train.max_steps = 0
    train.train(config, tmp_path / "run")  # binds nobody


def test_wrong_mean_cube(tmp_path, c3d_config):
    c3d_config.data.update(normalization="c3d_cube", mean_cube=str(tmp_path / "a.npy"))
    c3d_config.data.resize = (128, 171)
    with pytest.raises(ValueError, match="No mean cube"):
        train.train(c3d_config, tmp_path / "run")
