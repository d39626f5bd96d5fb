"""config.data.source="render": batches and whole runs without files or TensorFlow."""

import itertools
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from data.walkers import plan, stream
from data.walkers.sizes import SIZES
from reid_jax import clips, config_checks, parallel
from reid_jax.input import rendered as render_pipeline
from reid_jax.input import source as sources
from tests import ROOT


@pytest.fixture
def config(tiny_config):
    tiny_config.data.name = "walkers/tiny"
    tiny_config.data.source = "render"
    return tiny_config


@pytest.fixture
def dataset(config):
    return render_pipeline.load_dataset(config)


def test_a_batch_is_a_function_of_seed_and_step(config, dataset):
    config.data.p = 3  # of eight persons: three steps an epoch

    def batches(first_step, num):
        made = render_pipeline.train_batches(
            dataset.train, config, first_step=first_step
        )
        return [
            {name: np.asarray(value) for name, value in batch.items()}
            for batch in itertools.islice(made, num)
        ]

    assert render_pipeline.steps_per_epoch(dataset.train, config) == 3
    straight, resumed = batches(0, 5), batches(4, 1)
    for name in ("clips", "labels"):
        np.testing.assert_array_equal(straight[4][name], resumed[0][name])
    assert straight[0]["clips"].shape == (6, 3, 32, 16, 3)
    epoch = np.concatenate([batch["labels"] for batch in straight[:3]])
    assert sorted(set(epoch.tolist())) == list(range(8))
    # The same person in another step is seen elsewhere.
    assert len({batch["clips"].tobytes() for batch in straight}) == 5


@pytest.mark.slow
def test_a_process_renders_only_its_rows(config, dataset, monkeypatch):
    rows = np.array([1, 2])
    whole = next(render_pipeline.train_batches(dataset.train, config))
    monkeypatch.setattr(parallel, "local_rows", lambda num_clips, mesh: rows)
    part = next(render_pipeline.train_batches(dataset.train, config))
    assert part["clips"].shape == (2, *whole["clips"].shape[1:])
    np.testing.assert_array_equal(part["labels"], whole["labels"][rows])
    # Another batch size may round another way: a level of 256 at most.
    difference = np.asarray(part["clips"], int) - np.asarray(whole["clips"])[rows]
    assert np.abs(difference).max() <= 1


def test_labels_are_those_of_the_rendered_persons(config, dataset, monkeypatch):
    rendered = []

    def noted(where, walk, persons, *args, **kwargs):
        rendered.append(np.asarray(persons))
        return np.zeros(len(persons))

    monkeypatch.setattr(stream, "_render", noted)
    config.data.p, config.data.k = 3, 2
    pids = render_pipeline.training_pids(dataset.train)
    batches = render_pipeline.train_batches(dataset.train, config)
    for batch, persons in zip(itertools.islice(batches, 4), rendered, strict=False):
        np.testing.assert_array_equal(pids[batch["labels"]], persons)
    assert len(rendered) >= 4


def test_evaluation_is_on_the_test_persons_of_the_files(config, dataset):
    entries = plan.plan(SIZES["tiny"])
    for name in ("query", "gallery"):
        expected = [entry for entry in entries if entry.split == name]
        split = getattr(dataset, name)
        assert split.names.tolist() == [entry.name for entry in expected]
        assert split.num_frames.tolist() == [entry.num_frames for entry in expected]
    trained = set(render_pipeline.training_pids(dataset.train))
    assert not trained & {entry.person for entry in entries}
    assert len(trained) == SIZES["tiny"].num_train


def test_evaluation_batches_hold_every_clip_once(config, dataset):
    split = dataset.query
    rendered = [frames for _, frames in split.world.render(split.entries)]
    expected = [
        (i, frames[clip])
        for i, frames in enumerate(rendered)
        for clip in clips.dense_clips(len(frames), config.model.clip_length)
    ]
    seen = []
    for batch in render_pipeline.eval_batches(split, config):
        assert batch["clips"].shape == (4, 3, 32, 16, 3)
        seen += zip(batch["tracklet"], batch["clips"], strict=True)
    real = [(tracklet, clip) for tracklet, clip in seen if tracklet >= 0]
    for (i, clip), (tracklet, got) in zip(expected, real, strict=True):
        assert i == tracklet
        np.testing.assert_array_equal(clip, got)
    frames = render_pipeline.first_middle_last(split, 0)
    last = len(rendered[0]) - 1
    for t, frame in zip(sorted({0, last // 2, last}), frames, strict=True):
        np.testing.assert_array_equal(rendered[0][t], frame)


def test_persons_to_train_on_are_a_field(config, dataset):
    config.data.num_persons = 20
    more = render_pipeline.load_dataset(config)
    assert len(render_pipeline.training_pids(more.train)) == 20
    assert more.query.names.tolist() == dataset.query.names.tolist()
    config.data.p = 21
    with pytest.raises(ValueError, match="P=21 identities"):
        next(render_pipeline.train_clips(more.train, config))


def test_what_cannot_be_rendered_is_refused(config):
    config.data.name = "mars"
    with pytest.raises(ValueError, match=r"'mars' cannot be rendered.*walkers/tiny"):
        sources.pipeline(config).load_dataset(config)
    config.data.update(resize=(64, 32), cache="device")
    with pytest.raises(ValueError, match=r"resize=\(64, 32\) is .*cache='device' is"):
        config_checks.check_config(config)
    config.data.source = "files"
    config.data.num_persons = 5
    with pytest.raises(ValueError, match="num_persons is for"):
        config_checks.check_config(config)
    config.data.source = "camera"
    with pytest.raises(ValueError, match="source='camera'; known: files, render"):
        config_checks.check_config(config)


_RUN = """
import pathlib, sys
sys.modules["tensorflow"] = None  # any import of it fails
import jax
import numpy as np
import evaluate, train
from configs import base
from reid_jax.runs import checkpoints, run_embeddings

config = base.get_config()
config.model.update(
    backbone="resnet14_w8", temporal="attn_tconv", attention_dim=4,
    frame_size=(32, 16), clip_length=3,
)
config.data.update(name="walkers/tiny", source="render", p=3, k=2)
config.train.epochs = 1
config.eval.batch_clips = 4
folder = pathlib.Path(sys.argv[1])

def final(name):
    step = checkpoints.Checkpoints(folder / name).latest_step()
    assert step == 3
    return run_embeddings.restore(config, folder / name, step)[1]

train.train(config, folder / "straight")
config.train.max_steps, config.eval.pictures = 2, False
train.train(config, folder / "resumed")
config.train.max_steps = None
train.train(config, folder / "resumed")
jax.tree.map(np.testing.assert_array_equal, final("straight"), final("resumed"))
config.eval.metric = "xqda"
print([row["metric"] for row in evaluate.evaluate(config, folder / "straight")])
"""


@pytest.mark.slow
def test_whole_runs_without_tensorflow_resume_exactly(tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, tmp_path],
        cwd=ROOT,
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert "['xqda']" in ended.stdout
    drawn = tmp_path / "straight/eval/walkers-tiny/ranked_lists.png"
    assert drawn.stat().st_size > 1000
