"""reid_jax/runs/run.py: what an opened run reads, once, and what it embeds."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image, PngImagePlugin

import evaluate
import train
from reid_jax import Run, steps
from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.models import layers
from reid_jax.report import style
from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.runs import run as run_module
from reid_jax.scoring import embeddings
from tests import ROOT


@pytest.fixture
def config(tiny_run):
    """The config of `trained`."""
    tiny_run.train.max_steps = 2
    return tiny_run


@pytest.fixture
def workdir(trained, tmp_path):
    """A copy of the run that a test may change."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are one pixel, with the key of what they are made from."""

    def save(canvas, path, *, made_from=None):
        info = PngImagePlugin.PngInfo()
        info.add_text(style._MADE_FROM, made_from or "")
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (1, 1)).save(path, pnginfo=info)

    monkeypatch.setattr(style, "save", save)


def _counted(monkeypatch, owner, name, counts):
    function = getattr(owner, name)

    def counted(*args, **kwargs):
        counts[name] = counts.get(name, 0) + 1
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)


def test_a_fresh_evaluation_does_each_thing_once(config, workdir, monkeypatch, undrawn):
    shutil.rmtree(workdir / "eval")
    counts = {}
    for owner, name in (
        (checkpoints.Checkpoints, "restore_weights"),
        (run_module, "build_model"),
        (sources, "open_source"),
        (steps, "make_embed_step"),
    ):
        _counted(monkeypatch, owner, name, counts)
    embed_steps = []
    make = steps.make_embed_step

    def noted(graphdef, config):
        embed_steps.append(make(graphdef, config))
        return embed_steps[-1]

    monkeypatch.setattr(steps, "make_embed_step", noted)

    def no_draw(*_):
        pytest.fail("parameters were drawn")

    monkeypatch.setattr(layers, "_longer", no_draw)  # needed for real numbers only
    config.eval.pictures = True
    config.eval.metric = "l2,xqda"
    evaluate.evaluate(config, workdir, with_report=True)
    assert counts == {
        "restore_weights": 1,
        "build_model": 1,
        "open_source": 1,
        "make_embed_step": 1,
    }
    (embed_step,) = embed_steps
    assert embed_step._cache_size() == 1


def test_the_optimizers_moments_are_not_read(config, workdir):
    run = Run(workdir)
    assert run.step == 2 and run.state.opt_state == ()
    model = run_module.build_model(config.model, len(run.pids), rngs=nnx.Rngs(0))
    optimizer = steps.build_optimizer(config, lambda step: 0.0)
    _, like = steps.initial_state(model, optimizer)
    whole = checkpoints.Checkpoints(workdir).restore(2, like)
    for name in ("params", "batch_stats"):
        one, other = getattr(run.state, name), getattr(whole, name)
        jax.tree.map(np.testing.assert_array_equal, one, other)


def test_pictures_are_embedded_as_the_runs_own_evaluation_does(config, workdir):
    config.eval.batch_clips = 8
    run = Run(workdir, config)
    expected = run.embed_split("query")
    split = run.source.split("query")
    tracks = []
    for number, length in enumerate(split.num_frames.tolist()):
        frames = (split.frame(number, t) for t in range(length))
        tracks.append([_decoded(frame) for frame in frames])
    tracks[0] = np.stack(tracks[0])  # one array is a track too
    found = run.embed(tracks)
    np.testing.assert_allclose(found, expected.embeddings, atol=1e-5)
    assert expected.tracklets.tolist() == split.names.tolist()


def _decoded(frame: bytes) -> np.ndarray:
    import tensorflow as tf

    method = "INTEGER_ACCURATE"
    return tf.io.decode_jpeg(frame, channels=3, dct_method=method).numpy()


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([[np.zeros((8, 4, 3), np.uint8)], []], "Track 1 holds no picture"),
        ([[np.zeros((8, 4, 3), np.float32)]], "Picture 0 of track 0 is float32"),
        ([[np.zeros((8, 4), np.uint8)]], r"track 0 is uint8 \[8, 4\]; uint8 \[height"),
        ([[np.zeros((0, 4, 3), np.uint8)]], r"is uint8 \[0, 4, 3\]"),
    ],
)
def test_what_is_no_picture(config, trained, tracks, message):
    with pytest.raises(UserError, match=message):
        Run(trained).embed(tracks)


def test_no_tracks_have_no_embeddings(config, trained):
    run = Run(trained)
    num = run.embed([[np.zeros((8, 4, 3), np.uint8)]]).shape[1]
    assert run.embed([]).shape == (0, num)


def test_embeddings_of_other_weights_are_not_used(config, workdir):
    """Same step, config and dataset: only the weights differ."""
    one = Run(workdir).embed_split("query").embeddings
    rows = evaluate.evaluate(config, workdir)
    shutil.rmtree(workdir / "checkpoints")
    config.seed = 1
    train.train(config, workdir)
    other = Run(workdir).embed_split("query").embeddings
    assert not np.allclose(one, other)
    fresh = shutil.copytree(workdir, workdir.with_name("fresh"))
    shutil.rmtree(fresh / "eval")
    again = evaluate.evaluate(config, workdir)
    assert again == evaluate.evaluate(config, fresh)
    assert again != rows


def test_a_checkpoint_deleted_by_a_run_that_goes_on(config, workdir):
    """The next one takes its place; what was handed out already is never mixed."""
    folder = workdir / "checkpoints"
    run, late = Run(workdir), Run(workdir)
    shutil.rmtree(workdir / "eval")
    (folder / "2").rename(folder / "7")
    assert run.step == 2
    run.embed_split("query")
    assert run.step == 7
    shutil.rmtree(workdir / "eval")
    late._has_given_embeddings = True
    with pytest.raises(UserError, match=r"step 2 .* was deleted while it was read"):
        late.embed_split("query")


@pytest.mark.slow
def test_two_evaluations_at_a_time(config, workdir):
    """Each finds its own results or the other's, whole; no unfinished file stays."""
    shutil.rmtree(workdir / "eval")
    code = (
        "import sys, pathlib, evaluate\n"
        "from reid_jax.runs import folder\n"
        "workdir = pathlib.Path(sys.argv[1])\n"
        "evaluate.evaluate(folder.load_config(workdir), workdir)"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", code, str(workdir)], cwd=ROOT)
        for _ in range(2)
    ]
    assert [other.wait(timeout=300) for other in others] == [0, 0]
    folder = workdir / "eval" / "walkers-tiny"
    names = {path.name for path in folder.iterdir()}
    tables = {"scores.json", "queries.csv", "cmc.csv", "roc.csv"}
    assert names == tables | {"embeddings.npz", "calibration.json"}
    assert json.loads((folder / "scores.json").read_text())["step"] == 2
    assert embeddings.embed_run(Run(workdir))["trained"].keys() == {"query", "gallery"}


def test_folders_that_hold_no_run(tmp_path):
    with pytest.raises(run_folder.WorkdirError, match="holds no run"):
        Run(tmp_path)


def test_names_that_are_unknown(config, workdir):
    with pytest.raises(UserError, match="split 'nope' is unknown; known: query, gall"):
        Run(workdir, config).embed_split("nope")
    config.eval.checkpoint = "newest"
    with pytest.raises(UserError, match=r"eval\.checkpoint='newest'; known: latest"):
        Run(workdir, config)


def test_the_untrained_network_is_that_of_the_run(config, workdir):
    """Its seed, not one that an evaluation is given."""
    config.seed = 99
    one = embeddings.untrained_network(Run(workdir, config))
    other = embeddings.untrained_network(Run(workdir))
    jax.tree.map(np.testing.assert_array_equal, one.params, other.params)


def test_pictures_of_another_network_go(config, workdir, undrawn):
    """A network without attention shows none, whatever was drawn there before."""
    assert config.model.temporal == "avg"
    folder = workdir / "eval" / "walkers-tiny"
    (folder / "attention.png").write_bytes(b"of another network")
    config.eval.pictures = True
    evaluate.evaluate(config, workdir)
    assert not (folder / "attention.png").exists()
    drawn = folder / "filters.png"
    before = drawn.stat().st_mtime_ns
    evaluate.evaluate(config, workdir)
    assert drawn.stat().st_mtime_ns == before  # of the same weights
