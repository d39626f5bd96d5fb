"""reid_jax/models/instance_norm.py, and the ResNets that have it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax.models import BACKBONES, build_model, checkpoint_files, torch_weights
from reid_jax.models.instance_norm import InstanceBatchNorm, InstanceNorm
from reid_jax.models.resnet import ResNet
from reid_jax.runs import pretrained

_FLOAT = jnp.dtype("float32")


def _slow_ibn(x, weights, train):
    """A channel at a time: first those of IN, then those of BN."""
    y = np.zeros(x.shape)
    half = x.shape[-1] // 2
    for c in range(x.shape[-1]):
        kind, i = ("IN", c) if c < half else ("BN", c - half)
        weight, bias = (weights[f"{kind}.{leaf}"][i] for leaf in ("weight", "bias"))
        for b in range(len(x)):
            seen = x[b, ..., c] if c < half else x[..., c]
            mean, var = seen.mean(), ((seen - seen.mean()) ** 2).mean()
            if c >= half and not train:
                mean, var = weights["BN.running_mean"][i], weights["BN.running_var"][i]
            y[b, ..., c] = (x[b, ..., c] - mean) / np.sqrt(var + 1e-5) * weight + bias
    return y


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("num_features", [4, 5])
def test_ibn_by_hand(num_features, train):
    rng = np.random.default_rng(0)
    x = (3 + 2 * rng.normal(size=(3, 4, 2, num_features))).astype("f")
    norm = InstanceBatchNorm(num_features, dtype=_FLOAT)
    weights = {
        key: rng.uniform(0.5, 2, value.shape).astype("f")
        for key, value in torch_weights.export_torch_weights(norm).items()
    }
    torch_weights.load_torch_weights(norm, weights)
    expected = _slow_ibn(x.astype(float), weights, train)
    np.testing.assert_allclose(norm(x, train=train), expected, rtol=1e-4, atol=1e-5)
    # A picture's own half does not depend on the others.
    alone = norm(x[1:2], train=train)[..., : num_features // 2]
    expected = expected[1:2, ..., : num_features // 2]
    np.testing.assert_allclose(alone, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(4, 2), (1, 1)])
def test_flat_pictures_have_finite_gradients(size):
    norm = InstanceNorm(3, dtype=_FLOAT)
    norm.bias[...] = jnp.array([1.0, 2.0, 3.0])
    flat = jnp.full((2, *size, 3), 0.7)
    np.testing.assert_allclose(norm(flat)[0, 0, 0], [1, 2, 3], atol=1e-3)
    by_x = jax.grad(lambda x: (norm(x) ** 3).sum())(flat)
    assert np.isfinite(by_x).all()


def test_half_precision_has_float32_statistics():
    norm = InstanceNorm(2, dtype=jnp.dtype("bfloat16"))
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 2)) + 30
    y = norm(jnp.asarray(x, "bfloat16"))
    assert y.dtype == "bfloat16" and norm.weight[...].dtype == "float32"
    # bfloat16 has steps of 1/8 around 30: the picture is coarse, its mean is not.
    assert abs(float(np.asarray(y, float).mean())) < 0.02


def test_where_it_stands_in_the_network():
    """In bn1 of each block of layer1 to layer3; the names are those of IBN-Net."""
    trunk = nnx.eval_shape(
        lambda: ResNet(ibn_a=True, width=64, dtype=_FLOAT, rngs=nnx.Rngs(0))
    )
    state = nnx.to_flat_state(nnx.state(trunk))
    paths = {".".join(map(str, path)) for path, _ in state}
    blocks = [f"layer{i + 1}.{j}" for i, n in enumerate((3, 4, 6, 3)) for j in range(n)]
    for block in blocks:
        is_ibn = not block.startswith("layer4")
        assert (f"{block}.bn1.IN.weight" in paths) == is_ibn
        assert (f"{block}.bn1.BN.running_mean" in paths) == is_ibn
        assert (f"{block}.bn1.weight" in paths) != is_ibn
        assert f"{block}.bn1.IN.running_mean" not in paths
        assert {f"{block}.bn2.weight", f"{block}.bn3.weight"} <= paths
    assert "bn1.weight" in paths
    assert trunk.layer3[0].bn1.IN.weight.shape == (128,)


def test_every_2d_resnet_has_such_a_form():
    plain = {name for name in BACKBONES if name.startswith("resnet")}
    suffixed = {name for name in plain if name.endswith("_ibn_a")}
    assert suffixed == {f"{n}_ibn_a" for n in plain - suffixed if "3d" not in n}
    config = base.get_config().model
    config.backbone = "resnet3d50_ibn_a"
    with pytest.raises(ValueError, match="'resnet3d50_ibn_a'; known: 'resnet50'"):
        build_model(config, 5, rngs=nnx.Rngs(0))


def test_a_published_file_fills_the_trunk(tmp_path, tiny_config, tiny_model, capsys):
    arguments = {"blocks": (1, 1, 1, 1), "width": 8, "dtype": _FLOAT}
    trunk = ResNet(ibn_a=True, **arguments, rngs=nnx.Rngs(9))
    given = torch_weights.export_torch_weights(trunk)
    assert "layer1.0.bn1.BN.num_batches_tracked" in given
    given["fc.weight"], given["fc.bias"] = np.zeros((1000, 256)), np.zeros(1000)
    tiny_config.init_from = str(tmp_path / "resnet_ibn_a.safetensors")
    checkpoint_files.write_checkpoint(tiny_config.init_from, given)
    tiny_config.model.backbone = "resnet14_w8_ibn_a"
    model = tiny_model(tiny_config)
    pretrained.start(model, tiny_config, ("walkers/tiny", [1, 2, 3, 4, 5]))
    assert "(2-D ResNet with IBN-a, 1000 classes)" in capsys.readouterr().out
    norm = model.base.layer2[0].bn1
    np.testing.assert_array_equal(norm.BN.weight[...], given["layer2.0.bn1.BN.weight"])
    # A plain ResNet's file does not fit, and says where.
    plain = ResNet(**arguments, rngs=nnx.Rngs(9))
    plain = torch_weights.export_torch_weights(plain)
    with pytest.raises(ValueError, match=r"missing: layer1\.0\.bn1\.IN\.weight \(4,\)"):
        torch_weights.load_torch_weights(model, plain, partial=("classifier",))
