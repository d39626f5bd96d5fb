"""reid_jax/models/torch_weights.py: every key accounted for, both ways."""

import jax
import numpy as np
import optax
import pytest
import safetensors.numpy
from flax import nnx

from reid_jax import steps
from reid_jax.models import torch_weights
from reid_jax.models.resnet import ResNet


@pytest.fixture(params=["avg", "attn_fc", "attn_tconv", "lstm", "gru", "3d"])
def config(request, tiny_config):
    if request.param == "3d":
        tiny_config.model.backbone, tiny_config.model.temporal = "resnet3d14_w8", "none"
    else:
        tiny_config.model.temporal = request.param
    return tiny_config


def _noisy(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        key: value
        if key.endswith("num_batches_tracked")
        else rng.normal(size=value.shape).astype("f")
        for key, value in weights.items()
    }


def test_round_trip_is_exact(config, tiny_model):
    given = _noisy(torch_weights.export_torch_weights(tiny_model(config)))
    model = tiny_model(config)
    torch_weights.load_torch_weights(model, given)
    exported = torch_weights.export_torch_weights(model)
    assert exported.keys() == given.keys()
    for key, value in given.items():
        np.testing.assert_array_equal(exported[key], value)
    prefixed = {f"module.{key}": value for key, value in given.items()}
    torch_weights.load_torch_weights(model, prefixed)


def test_layouts_are_torchs(tiny_config, tiny_model):
    tiny_config.model.temporal = "attn_tconv"
    shapes = {
        key: value.shape
        for key, value in torch_weights.export_torch_weights(
            tiny_model(tiny_config)
        ).items()
    }
    assert shapes["base.0.weight"] == (8, 3, 7, 7)
    assert shapes["base.4.0.downsample.0.weight"] == (32, 8, 1, 1)
    assert shapes["base.7.0.bn3.running_var"] == (256,)
    assert shapes["base.1.num_batches_tracked"] == ()
    assert shapes["attention_conv.weight"] == (4, 256, 1, 1)
    assert shapes["attention_tconv.weight"] == (1, 4, 3)
    assert shapes["classifier.weight"] == (5, 256)


def test_a_backbone_file_fills_the_trunk_only(tiny_config, tiny_model):
    trunk = ResNet(
        blocks=(1, 1, 1, 1), width=8, dtype=np.dtype("float32"), rngs=nnx.Rngs(9)
    )
    given = torch_weights.export_torch_weights(trunk)
    assert "layer1.0.downsample.1.running_mean" in given
    given["fc.weight"], given["fc.bias"] = np.zeros((1000, 256)), np.zeros(1000)
    tiny_config.model.temporal = "attn_fc"
    model = tiny_model(tiny_config)
    with pytest.raises(ValueError) as error:
        torch_weights.load_torch_weights(model, given)
    message = str(error.value)
    assert "misshaped: fc.weight (1000, 256), the network has (5, 256)" in message
    assert "missing: attention_conv.weight (4, 256, 1, 1)" in message
    before = nnx.state(model.classifier)
    torch_weights.load_torch_weights(
        model, given, partial=("classifier", "attention_conv", "attention_fc")
    )
    jax.tree.map(np.testing.assert_array_equal, before, nnx.state(model.classifier))
    np.testing.assert_array_equal(model.base.conv1.kernel[...], trunk.conv1.kernel[...])


def test_one_error_lists_every_key_and_loads_nothing(tiny_config, tiny_model):
    model = tiny_model(tiny_config)
    given = _noisy(torch_weights.export_torch_weights(model))
    del given["base.1.weight"], given["base.4.0.conv1.weight"]
    given["base.0.weight"] = np.zeros((8, 3, 5, 5), "f")
    given["extra.weight"] = np.zeros(3, "f")
    before = torch_weights.export_torch_weights(model)
    with pytest.raises(ValueError) as error:
        torch_weights.load_torch_weights(model, given)
    for line in (
        "missing: base.bn1.weight (8,)",
        "missing: base.layer1.0.conv1.weight (8, 8, 1, 1)",
        "misshaped: base.0.weight (8, 3, 5, 5), the network has (8, 3, 7, 7)",
        "unused: extra.weight (3,)",
    ):
        assert line in str(error.value)
    after = torch_weights.export_torch_weights(model)
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_safetensors_file(tmp_path, tiny_config, tiny_model):
    given = _noisy(torch_weights.export_torch_weights(tiny_model(tiny_config)))
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(given, path)
    read = torch_weights.read_checkpoint(path)
    jax.tree.map(np.testing.assert_array_equal, read, given)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        torch_weights.read_checkpoint(path)


def test_torch_files(tmp_path, tiny_config, tiny_model):
    torch = pytest.importorskip("torch", reason="the optional extra that reads .pth")
    given = _noisy(torch_weights.export_torch_weights(tiny_model(tiny_config)))
    tensors = {key: torch.from_numpy(value) for key, value in given.items()}
    for name, content in (
        ("a.pth", tensors),
        ("b.pth.tar", {"state_dict": tensors, "epoch": 3}),
    ):
        torch.save(content, tmp_path / name)
        read = torch_weights.read_checkpoint(tmp_path / name)
        jax.tree.map(np.testing.assert_array_equal, read, given)
    torch.save({"state_dict": tensors, "code": _RunsCode()}, tmp_path / "c.pth")
    with pytest.raises(ValueError, match="was refused"):
        torch_weights.read_checkpoint(tmp_path / "c.pth")
    (tmp_path / "d.pth").write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="was refused"):
        torch_weights.read_checkpoint(tmp_path / "d.pth")


class _RunsCode:
    def __reduce__(self):
        return (print, ("code of the file has run",))


def test_unknown_files(tmp_path):
    with pytest.raises(ValueError, match="No checkpoint file"):
        torch_weights.read_checkpoint(tmp_path / "absent.pth")
    (tmp_path / "net.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=r"known: \.safetensors"):
        torch_weights.read_checkpoint(tmp_path / "net.h5")


def test_a_run_starts_from_a_checkpoint(tmp_path, tiny_config, tiny_model, capsys):
    given = _noisy(torch_weights.export_torch_weights(tiny_model(tiny_config)))
    path = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(given, path)
    # Another number of persons: the classifier keeps its initialisation.
    _, state = steps.initial_state(tiny_config, 7, optax.sgd(0.1), init_from=str(path))
    assert "initialised: classifier.bias, classifier.weight." in capsys.readouterr().out
    kernel = state.params["base"]["conv1"]["kernel"]
    np.testing.assert_array_equal(
        np.moveaxis(kernel, (-1, -2), (0, 1)), given["base.0.weight"]
    )
    assert state.params["classifier"]["kernel"].shape == (256, 7)
