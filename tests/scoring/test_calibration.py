"""Thresholds that a run keeps for other programs."""

import json
import shutil

import numpy as np
import pytest

import evaluate
import train
from reid_jax.errors import UserError
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import calibration


@pytest.fixture(scope="module")
def trained(tmp_path_factory, walkers_tiny):
    from configs import pool_avg

    config = pool_avg.get_config()
    config.model.update(backbone="resnet14_w8", clip_length=3, frame_size=(32, 16))
    config.data.update(name="walkers/tiny", data_dir=str(walkers_tiny), p=4, k=2)
    config.train.max_steps = 1
    config.eval.update(batch_clips=8, pictures=False, baselines=True, rerank=True)
    config.eval.update(rerank_k1=4, rerank_k2=2)
    workdir = tmp_path_factory.mktemp("runs") / "run"
    train.train(config, workdir)
    return workdir


@pytest.fixture
def run(trained, tmp_path):
    return Run(shutil.copytree(trained, tmp_path / "run"))


def test_thresholds_are_those_of_the_scores(run):
    found = calibration.read_calibration(run.folder, weights=run.fingerprint)
    row = json.loads((run.folder / "scores.json").read_text())["rows"][0]
    verification = row["verification"]
    assert found.num_impostor == verification["num_impostor"] > 50
    assert found.num_genuine == verification["num_genuine"]
    assert (found.protocol, found.step, found.conditions) == ("standard", 1, [])
    point = verification["at_fpr"]["0.1"]
    assert found.threshold(0.1) == (point["distance"], point["tpr"])
    assert found.threshold(0.105) == found.threshold(0.1)  # the rate below on the grid
    assert found.threshold(1).tpr == 1
    stored = json.loads((run.folder / "calibration.json").read_text())
    assert list(stored["metrics"]) == ["l2"]  # not the re-ranked one


def test_another_metric_is_added_and_new_tracklets_start_anew(run):
    config = run_folder.load_config(run.workdir)
    config.eval.update(metric="cosine", rerank=False)
    evaluate.evaluate(config, run.workdir)
    cosine = calibration.read_calibration(run.folder, "cosine")
    l2 = calibration.read_calibration(run.folder)
    assert cosine.metric == "cosine" and cosine.distance[-1] < 2
    assert l2.num_impostor == cosine.num_impostor
    config.eval.max_frames = 1
    evaluate.evaluate(config, run.workdir)
    cosine = calibration.read_calibration(run.folder, "cosine")
    assert cosine.conditions == ["the first 1 frames of each tracklet"]
    with pytest.raises(UserError, match="no thresholds by l2, only by cosine"):
        calibration.read_calibration(run.folder)


def test_what_is_missing_says_which_command_makes_it(run):
    command = f"python evaluate.py --workdir={run.workdir}"
    path = run.folder / "calibration.json"
    ours = f"{command} --config.data.name=walkers/tiny --config.eval.metric"
    with pytest.raises(UserError, match=f"only by l2: {ours}=xqda adds them"):
        calibration.read_calibration(run.folder, "xqda")
    with pytest.raises(UserError, match=rf"other weights \(step 1\): {ours}=l2 makes"):
        calibration.read_calibration(run.folder, weights="others")
    for damaged in ("", "{}", '{"dataset": 1}', "[]", '{"metrics": {"l2": {}}}'):
        path.write_text(damaged)
        with pytest.raises(UserError, match=f"cannot be read .*: {command}.* again"):
            calibration.read_calibration(run.folder)
    path.unlink()
    with pytest.raises(UserError, match=f"holds no thresholds .*: {command} makes"):
        calibration.read_calibration(run.folder)


def test_rates_without_a_threshold():
    about = ("walkers/tiny", "standard", 1, "abc", [], "l2", 20, 150)
    columns = ([0.01, 0.02, 0.1], [0.0, 0.5, 0.75], [np.nan, 3.0, 4.0])
    found = calibration.Calibration(*about, *map(np.array, columns))
    assert found.threshold(0.05) == (3.0, 0.5)
    assert found.threshold(1).distance == 4.0
    with pytest.raises(UserError, match=r"smallest calibrated rate is 0\.01; .* 150 p"):
        found.threshold(1e-3)
    with pytest.raises(UserError, match=r"as near as that; the smallest .* is 0\.02"):
        found.threshold(0.015)
    for fpr in (0, 2, np.nan):
        with pytest.raises(UserError, match="above 0 and at most 1"):
            found.threshold(fpr)
    none = np.zeros(0)
    found = calibration.Calibration(*about[:-1], 0, none, none, none)
    with pytest.raises(UserError, match="calibrated rate is none"):
        found.threshold(0.1)
