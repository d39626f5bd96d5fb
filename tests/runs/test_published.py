"""Runs published as one file of weights, and opened again."""

import shutil

import numpy as np
import pytest
import safetensors.numpy

from reid_jax import Run
from reid_jax.export import program
from reid_jax.models import checkpoint_files
from reid_jax.runs import folder as run_folder
from reid_jax.runs import published, weight_sources
from reid_jax.runs.folder import WorkdirError


@pytest.fixture(scope="module")
def folder(tmp_path_factory, trained):
    folder = tmp_path_factory.mktemp("weights") / "tiny"
    program.export(trained, "weights", folder)
    return folder


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_published_run_embeds_like_the_run(trained, folder):
    run, opened = Run(trained), Run(folder)
    assert (opened.step, opened.pids) == (run.step, [])
    assert opened.num_persons == run.num_persons == len(run.pids)
    assert opened.fingerprint == published.digest(folder / "weights.safetensors")
    tracks = list(
        np.random.default_rng(0).integers(0, 256, (2, 4, 40, 20, 3), np.uint8)
    )
    np.testing.assert_array_equal(opened.embed(tracks), run.embed(tracks))
    query, original = opened.embed_split("query"), run.embed_split("query")
    np.testing.assert_array_equal(query.embeddings, original.embeddings)
    assert opened.embed([]).shape == (0, query.embeddings.shape[1])


def test_nothing_of_the_training_persons_is_published(trained, folder):
    weights = checkpoint_files.read_checkpoint(folder / "weights.safetensors")
    assert weights and not [key for key in weights if "classifier" in key]
    assert not (folder / "checkpoints").exists()


def test_a_run_starts_from_published_weights(trained, folder):
    given = weight_sources.read(str(folder), labels=("walkers/tiny", [1, 2]))
    assert given.normalizations == ("imagenet",)
    original = weight_sources.read(str(trained))
    for key, value in original.weights.items():
        if key.startswith("classifier"):
            assert key not in given.weights
        else:
            np.testing.assert_array_equal(given.weights[key], value)


def test_nobody_trains_in_a_published_folder(folder, tiny_run):
    before = (folder / "config.json").read_bytes()
    with pytest.raises(WorkdirError, match=r"published weights.*init_from"):
        run_folder.claim_config(folder, tiny_run, np.arange(3), "of it")
    assert (folder / "config.json").read_bytes() == before


def test_a_run_is_not_published_over(trained):
    with pytest.raises(WorkdirError, match="holds other files"):
        program.export(trained, "weights", trained)


def test_damaged_files_are_one_line(copy):
    path = copy / "weights.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"weights\.safetensors") as caught:
        Run(copy)
    assert "\n" not in str(caught.value)
    path.write_bytes(safetensors.numpy.save({"conv1.weight": np.zeros(3, "f")}))
    with pytest.raises(WorkdirError, match="does not say its step"):
        Run(copy)


def test_a_changed_value_is_noticed(copy):
    path = copy / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(WorkdirError, match="is damaged"):
        Run(copy).embed([[np.zeros((40, 20, 3), np.uint8)]])


def test_weights_of_another_network_are_one_line(copy):
    weights = {"base.0.weight": np.zeros((1, 3, 7, 7), "f")}
    path = copy / "weights.safetensors"
    texts = {"step": "3", "persons": "5", "arrays": published._digest_arrays(weights)}
    checkpoint_files.write_checkpoint(path, weights, texts)
    with pytest.raises(WorkdirError, match=r"does not fit.*and [0-9]+ more") as caught:
        Run(copy).embed([np.zeros((1, 40, 20, 3), np.uint8)])
    assert "\n" not in str(caught.value)


def test_publishing_again_gives_the_same_bytes(trained, folder, tmp_path):
    first = (folder / "weights.safetensors").read_bytes()
    for _ in range(4):  # the order of a file's texts was random
        program.export(trained, "weights", tmp_path / "again")
        assert (tmp_path / "again" / "weights.safetensors").read_bytes() == first


def test_other_folders_and_types_are_refused(trained, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(WorkdirError, match="holds other files"):
        program.export(trained, "weights", tmp_path)
    with pytest.raises(ValueError, match="--dtype"):
        program.export(trained, "weights", tmp_path / "new", dtype="bfloat16")
