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
from reid_jax.input import rendered
from reid_jax.input import source as sources
from tests import ROOT


@pytest.fixture
def config(tiny_config):
    tiny_config.data.name = "walkers/tiny"
    tiny_config.data.source = "render"
    return tiny_config


@pytest.fixture
def source(config):
    return rendered.RenderedSource(config)


def test_a_batch_is_a_function_of_seed_and_step(config):
    config.data.p = 3  # of eight persons: three steps an epoch
    source = rendered.RenderedSource(config)

    def batches(first_step, num):
        batches = source.train_batches(first_step)
        return [
            {name: np.asarray(value) for name, value in batch.items()}
            for batch in itertools.islice(batches, num)
        ]

    assert source.steps_per_epoch == 3
    straight, resumed = batches(0, 5), batches(4, 1)
    for name in ("clips", "labels"):
        np.testing.assert_array_equal(straight[4][name], resumed[0][name])
    assert straight[0]["clips"].shape == (6, 3, 32, 16, 3)
    epoch = np.concatenate([batch["labels"] for batch in straight[:3]])
    assert sorted(set(epoch.tolist())) == list(range(8))
    # The same person in another step is seen elsewhere.
    assert len({batch["clips"].tobytes() for batch in straight}) == 5


@pytest.mark.slow
def test_a_process_renders_only_its_rows(config, source, monkeypatch):
    rows = np.array([1, 2])
    whole = next(source.train_batches())
    monkeypatch.setattr(parallel, "local_rows", lambda num_clips, mesh: rows)
    part = next(source.train_batches())
    assert part["clips"].shape == (2, *whole["clips"].shape[1:])
    np.testing.assert_array_equal(part["labels"], whole["labels"][rows])
    # Another batch size may round another way: a level of 256 at most.
    difference = np.asarray(part["clips"], int) - np.asarray(whole["clips"])[rows]
    assert np.abs(difference).max() <= 1


def test_labels_are_those_of_the_rendered_persons(config, source, monkeypatch):
    shown = []

    def noted(where, walk, persons, *args, **kwargs):
        shown.append(np.asarray(persons))
        return np.zeros(len(persons))

    monkeypatch.setattr(stream, "_render", noted)
    config.data.p, config.data.k = 3, 2
    source = rendered.RenderedSource(config)
    batches = source.train_batches()
    for batch, persons in zip(itertools.islice(batches, 4), shown, strict=False):
        np.testing.assert_array_equal(source.pids[batch["labels"]], persons)
    assert len(shown) >= 4


def test_evaluation_is_on_the_test_persons_of_the_files(config, source):
    entries = plan.plan(SIZES["tiny"])
    for name in ("query", "gallery"):
        expected = [entry for entry in entries if entry.split == name]
        split = source.split(name)
        assert split.names.tolist() == [entry.name for entry in expected]
        assert split.num_frames.tolist() == [entry.num_frames for entry in expected]
    trained = set(source.pids.tolist())
    assert not trained & {entry.person for entry in entries}
    assert len(trained) == SIZES["tiny"].num_train


def test_evaluation_batches_hold_every_clip_once(config, source):
    split = source.split("query")
    tracklets = [frames for _, frames in split.world.render(split.entries)]
    expected = [
        (i, frames[clip])
        for i, frames in enumerate(tracklets)
        for clip in clips.dense_clips(len(frames), config.model.clip_length)
    ]
    seen = []
    for batch in source.eval_batches("query"):
        assert batch["clips"].shape == (4, 3, 32, 16, 3)
        seen += zip(batch["tracklet"], batch["clips"], strict=True)
    real = [(tracklet, clip) for tracklet, clip in seen if tracklet >= 0]
    for (i, clip), (tracklet, got) in zip(expected, real, strict=True):
        assert i == tracklet
        np.testing.assert_array_equal(clip, got)
    second = next(source.eval_batches("query", share=(1, 2)))  # of two processes
    for got, (_, clip) in zip(second["clips"], seen[4:8], strict=True):
        np.testing.assert_array_equal(got, clip)
    frames = source.first_middle_last("query", 0)
    last = len(tracklets[0]) - 1
    for t, frame in zip(sorted({0, last // 2, last}), frames, strict=True):
        np.testing.assert_array_equal(tracklets[0][t], frame)


def test_persons_to_train_on_are_a_field(config, source):
    config.data.num_persons = 20
    more = rendered.RenderedSource(config)
    assert len(more.pids) == 20
    assert more.split("query").names.tolist() == source.split("query").names.tolist()
    config.data.p = 21
    with pytest.raises(ValueError, match="P=21 identities"):
        next(rendered.RenderedSource(config).train_clips())


def test_what_cannot_be_rendered_is_refused(config):
    config.data.name = "mars"
    with pytest.raises(ValueError, match=r"'mars' cannot be rendered.*walkers/tiny"):
        sources.open_source(config)
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
from reid_jax.runs.run import Run

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
    run = Run(folder / name, config)
    assert run.step == 3
    return run.state

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


def test_a_batch_has_persons_of_each_world(config, monkeypatch):
    shown = []

    def noted(where, walk, persons, *args, **kwargs):
        shown.append(np.asarray(persons))
        return np.zeros(len(persons))

    monkeypatch.setattr(stream, "_render", noted)
    config.data.p, config.data.k, config.data.num_persons = 4, 2, 6
    config.data.mixture = ("walkers/tiny", "walkers/street_small")
    config.data.mixture_weights = (1.0, 3.0)
    source = rendered.RenderedSource(config)
    assert len(source.pids) == 12 and len(source.split("train")) < len(source.training)
    assert len(source.training.names) == len(source.training)
    assert len(set(source.training.camids)) == 3 + 4
    batches = [batch["labels"] for batch in itertools.islice(source.train_batches(), 6)]
    for labels, of_tiny, of_street in zip(
        batches, shown[::2], shown[1::2], strict=False
    ):
        assert len(of_tiny) == 2 and len(of_street) == 6
        assert labels[:2].max() < 6 <= labels[2:].min()
    # Six of the second world's persons occur in every two batches of three.
    assert set(np.concatenate(batches[:2])[[2, 4, 6, 10, 12, 14]]) == set(range(6, 12))
    again = next(source.train_batches(4))["labels"]
    np.testing.assert_array_equal(again, batches[4])


@pytest.mark.parametrize(
    ("shares", "expected"),
    [((1, 1), [4, 4]), ((1, 1000), [1, 7]), ((3, 2, 2), [4, 2, 2]), ((5,), [8])],
)
def test_persons_are_shared_out_among_worlds(shares, expected):
    assert rendered._split_evenly(8, np.array(shares, float)) == expected


def test_a_batch_needs_a_person_of_each_world(config):
    config.data.p = 1
    config.data.mixture = ("walkers/tiny", "walkers/street_small")
    with pytest.raises(ValueError, match="too few for a person of each of the 2"):
        next(rendered.RenderedSource(config).train_clips())
