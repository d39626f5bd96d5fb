"""reid_jax/models/checkpoint_files.py: files in and out, and files refused."""

import argparse
import pickle
import types

import jax
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from reid_jax.errors import UserError
from reid_jax.models import checkpoint_files, torch_files


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.normal(size=(4, 3, 3, 3)).astype("f"),
        "bn1.num_batches_tracked": np.zeros((), np.int64),
        "fc.bias": rng.normal(size=5),
    }


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="the optional extra that reads .pth")


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_round_trip_without_torch(tmp_path, weights, suffix, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    path = tmp_path / f"net{suffix}"
    checkpoint_files.write_checkpoint(path, weights, {"normalization": "c3d"})
    read = checkpoint_files.read_checkpoint(path)
    jax.tree.map(np.testing.assert_array_equal, read, weights)
    assert {k: v.dtype for k, v in read.items()} == {
        k: v.dtype for k, v in weights.items()
    }
    noted = {"normalization": "c3d"} if suffix == ".safetensors" else {}
    assert checkpoint_files.read_metadata(path) == noted
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"net\\{suffix} (is not|was refused)"):
        checkpoint_files.read_checkpoint(path)


def test_torch_files_need_torch(tmp_path, weights, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    path = tmp_path / "net.pth"
    path.write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"Reading .*net\.pth needs PyTorch"):
        checkpoint_files.read_checkpoint(path)
    with pytest.raises(ValueError, match=r"Writing .*net\.pth needs PyTorch"):
        checkpoint_files.write_checkpoint(path, weights)


@pytest.mark.parametrize("name", ["a.pth", "b.pth.tar", "c.pt", "d.pickle"])
def test_round_trip_with_torch(tmp_path, weights, torch, name):
    path = tmp_path / name
    checkpoint_files.write_checkpoint(path, weights)
    read = checkpoint_files.read_checkpoint(path)
    jax.tree.map(np.testing.assert_array_equal, read, weights)
    content = torch.load(path, weights_only=True)
    assert ("state_dict" in content) == name.endswith(".tar")


def test_what_training_programs_store_beside_the_weights(tmp_path, weights, torch):
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    for wrapper in ("state_dict", "model_state_dict", "model"):
        for zipped in (True, False):  # PyTorch before 1.6 did not zip
            path = tmp_path / f"{wrapper}{zipped}.pth.tar"
            torch.save(
                {wrapper: tensors, "epoch": 3, "rank1": np.float32(0.5)},
                path,
                _use_new_zipfile_serialization=zipped,
            )
            read = checkpoint_files.read_checkpoint(path)
            jax.tree.map(np.testing.assert_array_equal, read, weights)


class _Python2Pickler(pickle._Pickler):
    """Writes text as Python 2 did, in whose days the first weights were published."""

    def save(self, content, save_persistent_id=True):
        if isinstance(content, str) and id(content) not in self.memo:
            self.write(b"U" + bytes([len(content)]) + content.encode("ascii"))
            self.memoize(content)
        else:
            super().save(content, save_persistent_id)


def test_text_of_python_2(tmp_path, weights, torch):
    python2 = types.SimpleNamespace(
        __name__="pickle",
        Pickler=_Python2Pickler,
        dump=lambda content, file, protocol: _Python2Pickler(file, 2).dump(content),
    )
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    path = tmp_path / "net.pth"
    torch.save(
        {"state_dict": tensors, "arch": "resnet-50"},
        path,
        pickle_module=python2,
        _use_new_zipfile_serialization=False,
    )
    assert b"U\tresnet-50" in path.read_bytes()
    read = checkpoint_files.read_checkpoint(path)
    jax.tree.map(np.testing.assert_array_equal, read, weights)


def test_bfloat16_is_widened(tmp_path, torch):
    path = tmp_path / "net.pth"
    torch.save({"w": torch.tensor([1.5, -2.0], dtype=torch.bfloat16)}, path)
    read = checkpoint_files.read_checkpoint(path)["w"]
    np.testing.assert_array_equal(read, np.array([1.5, -2.0], "f"), strict=True)


def test_bfloat16_of_safetensors_is_widened_and_float8_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    values = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    path.write_bytes(safetensors.numpy.save({"w": values}))
    read = checkpoint_files.read_checkpoint(path)["w"]
    np.testing.assert_array_equal(read, np.array([1.5, -2.0], "f"), strict=True)
    header = b'{"w":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"11")
    with pytest.raises(ValueError, match=r"net\.safetensors (was refused|holds more)"):
        checkpoint_files.read_checkpoint(path)


def test_parameters_are_tensors(tmp_path, torch):
    path = tmp_path / "net.pth"
    torch.save(dict(torch.nn.Linear(2, 3).named_parameters()), path)
    assert checkpoint_files.read_checkpoint(path)["weight"].shape == (3, 2)
    torch.save({"w": torch.eye(2).to_sparse()}, path)
    with pytest.raises(ValueError, match=r"net\.pth was refused: .*plain tensors: w"):
        checkpoint_files.read_checkpoint(path)


def test_numbers_that_numpy_1_pickled(tmp_path, torch):
    # numpy.core is where NumPy 1 had them: what the published checkpoints name.
    path = tmp_path / "net.pth.tar"
    content = {"state_dict": {"w": torch.eye(2)}, "rank1": np.float64(0.8)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    old = path.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path.write_bytes(old)
    assert list(checkpoint_files.read_checkpoint(path)) == ["w"]


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pth", "legacy.pth"])
def test_damaged_anywhere_it_is_one_error(tmp_path, weights, request, suffix):
    path = tmp_path / f"net{suffix}"
    if suffix == "legacy.pth":
        torch = request.getfixturevalue("torch")
        tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        if suffix == ".pth":
            request.getfixturevalue("torch")
        checkpoint_files.write_checkpoint(path, weights)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole[: rng.integers(1, len(whole))])
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            checkpoint_files.read_checkpoint(path)
        except ValueError as error:
            assert path.name in str(error)
            refused += 1
    assert refused >= 55


@pytest.mark.parametrize("name", ["net.ckpt", "pytorch_model.bin", "net.pth.tar-60"])
def test_the_content_says_what_a_file_is(tmp_path, weights, name, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    for written in ("net.safetensors", "net.npz"):
        checkpoint_files.write_checkpoint(tmp_path / written, weights)
        (tmp_path / written).rename(tmp_path / name)
        read = checkpoint_files.read_checkpoint(tmp_path / name)
        jax.tree.map(np.testing.assert_array_equal, read, weights)
    for content in (b"\x80\x02}q\x00.", b"\x80\x04."):  # pickles
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="needs PyTorch"):
            checkpoint_files.read(tmp_path / name)
    (tmp_path / name).write_bytes(b"<html>not here</html>")
    with pytest.raises(UserError, match="neither its content nor its name"):
        checkpoint_files.read(tmp_path / name)


def test_torch_files_under_other_names(tmp_path, weights, torch):
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    content = {"state_dict_ema": tensors, "state_dict": tensors, "epoch": 3}
    for zipped in (True, False):
        path = tmp_path / "net.pth.tar-60"
        torch.save(content, path, _use_new_zipfile_serialization=zipped)
        held = checkpoint_files.read(path)
        assert (held.wrapper, held.others) == ("state_dict", ("state_dict_ema",))
        jax.tree.map(np.testing.assert_array_equal, held.weights, weights)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": 1, "b": 2}, ({"a": 1, "b": 2}, "", [])),
        ({"model": {"a": 1}, "epoch": "3"}, ({"a": 1}, "model", [])),
        (
            {"state_dict_ema": {"a": 1}, "state_dict": {"a": 2}, "opt": {"lr": "x"}},
            ({"a": 2}, "state_dict", ["state_dict_ema"]),
        ),
        ({"state_dict_ema": {"a": 1}}, ({"a": 1}, "state_dict_ema", [])),
        ({"net": {"a": 1}, "args": {}}, ({"a": 1}, "net", [])),
        ({"student": {"a": 1}, "teacher": {"a": 1}}, None),
        ({"state_dict": {"a": "text"}, "ema": {"a": 1}}, None),
        ({"a": 1, "b": "text"}, None),
        ([1], None),
        ({}, None),
    ],
)
def test_which_dictionary_of_a_file_is_taken(content, expected):
    assert torch_files.choose(content, lambda value: isinstance(value, int)) == expected


def test_nothing_is_no_checkpoint(tmp_path):
    np.savez(tmp_path / "net.npz")
    with pytest.raises(ValueError, match="holds no weights"):
        checkpoint_files.read_checkpoint(tmp_path / "net.npz")


class _RunsCode:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code of the file has run')",))


def test_no_code_of_a_file_is_run(tmp_path, weights, torch):
    tensors = {key: torch.from_numpy(value) for key, value in weights.items()}
    torch.save({"state_dict": tensors, "code": _RunsCode()}, tmp_path / "a.pth")
    torch.save(
        {"state_dict": tensors, "opts": argparse.Namespace(lr=1)}, tmp_path / "b.pth"
    )
    for name, needed in (("a.pth", "exec"), ("b.pth", r"argparse\.Namespace")):
        with pytest.raises(ValueError, match=f"was refused: it needs {needed}, which"):
            checkpoint_files.read_checkpoint(tmp_path / name)


def test_no_code_of_an_archive_is_run(tmp_path):
    np.savez(tmp_path / "c.npz", code=np.array([_RunsCode()], object))
    with pytest.raises(ValueError, match=r"c\.npz was refused.*(pickle|Object)"):
        checkpoint_files.read_checkpoint(tmp_path / "c.npz")


def test_files_that_hold_something_else(tmp_path, torch):
    for name, content in (
        ("list.pth", [torch.zeros(3)]),
        ("empty.pth", {}),
        ("numbers.pth", {"a": 1.0}),
    ):
        torch.save(content, tmp_path / name)
        with pytest.raises(ValueError, match="holds no dictionary of tensors"):
            checkpoint_files.read_checkpoint(tmp_path / name)
    (tmp_path / "text.pth").write_bytes(b"not a checkpoint")
    (tmp_path / "none.pth").write_bytes(b"")
    (tmp_path / "plain.pickle").write_bytes(pickle.dumps({"a": np.zeros(3)}))
    for name in ("text.pth", "none.pth", "plain.pickle"):
        with pytest.raises(ValueError, match="was refused: it"):
            checkpoint_files.read_checkpoint(tmp_path / name)


def test_text_and_complex_numbers_are_no_weights(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.zeros(2), b=np.array("x"), c=np.zeros(1, "c8"))
    message = r"net\.npz holds more than numbers: b .*, c .complex64.\."
    with pytest.raises(ValueError, match=message):
        checkpoint_files.read_checkpoint(tmp_path / "net.npz")


def test_suffixes_in_capitals(tmp_path, weights):
    checkpoint_files.write_checkpoint(tmp_path / "NET.NPZ", weights)
    assert (
        checkpoint_files.read_checkpoint(tmp_path / "NET.NPZ").keys() == weights.keys()
    )


def test_unknown_files(tmp_path, weights):
    with pytest.raises(ValueError, match="No checkpoint file"):
        checkpoint_files.read_checkpoint(tmp_path / "absent.pth")
    (tmp_path / "net.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"known: \.safetensors"):
        checkpoint_files.read_checkpoint(tmp_path / "net.h5")
    with pytest.raises(ValueError, match=r"known: \.safetensors"):
        checkpoint_files.write_checkpoint(tmp_path / "net.caffemodel", weights)


def test_a_file_that_cannot_be_written(tmp_path, weights):
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "file").touch()
    for name, reason in (
        ("file/net.npz", "(Not a directory|File exists)"),
        ("folder.npz", "Is a directory"),
    ):
        with pytest.raises(UserError, match=f"cannot be written: {reason}"):
            checkpoint_files.write_checkpoint(tmp_path / name, weights)
    assert {path.name for path in tmp_path.iterdir()} == {"folder.npz", "file"}
