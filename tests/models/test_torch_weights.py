"""reid_jax/models/torch_weights.py: every key accounted for, both ways."""

import jax
import numpy as np
import pytest
from flax import nnx

from reid_jax.models import build_model, torch_weights
from reid_jax.models.resnet import ResNet


@pytest.fixture(
    params=["avg", "ibn_a", "attn_fc", "attn_tconv", "lstm", "gru", "3d", "c3d"]
)
def config(request, tiny_config):
    if request.param == "ibn_a":
        tiny_config.model.update(backbone="resnet14_w8_ibn_a", temporal="avg")
    elif request.param == "3d":
        tiny_config.model.backbone, tiny_config.model.temporal = "resnet3d14_w8", "none"
    elif request.param == "c3d":
        tiny_config.model.update(backbone="c3d_w8", temporal="none", clip_length=16)
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
        "missing: bn1.weight (8,)",
        "missing: layer1.0.conv1.weight (8, 8, 1, 1)",
        "misshaped: base.0.weight (8, 3, 5, 5), the network has (8, 3, 7, 7)",
        "unused: extra.weight (3,)",
    ):
        assert line in str(error.value)
    after = torch_weights.export_torch_weights(model)
    jax.tree.map(np.testing.assert_array_equal, before, after)


@pytest.fixture
def c3d(tiny_config, tiny_model):
    tiny_config.model.update(backbone="c3d_w8", temporal="none", clip_length=16)
    return tiny_model(tiny_config)


_C3D_STYLES = {
    "sequential": {
        "conv1": "features.0",
        "conv2": "features.3",
        "conv3a": "features.6",
        "conv3b": "features.8",
        "conv4a": "features.11",
        "conv4b": "features.13",
        "conv5a": "features.16",
        "conv5b": "features.18",
        "fc6": "classifier.0",
        "fc7": "classifier.3",
        "fc8": "classifier.6",
    },
    "caffe": {
        "conv1": "conv1a",
        "conv2": "conv2a",
        **{name: f"{name}-1" for name in ("fc6", "fc7", "fc8")},
    },
}
_LEAVES = {
    "sequential": ("weight", "bias"),
    "caffe": ("0", "1"),
}


@pytest.mark.parametrize("style", _C3D_STYLES)
def test_c3d_in_other_styles(c3d, style):
    given = _noisy(torch_weights.export_torch_weights(c3d))
    renamed = {}
    for key, value in given.items():
        module, leaf = key.split(".")
        leaf = _LEAVES[style][leaf == "bias"]
        if style == "caffe":  # a blob has five axes
            value = value.reshape((1,) * (5 - value.ndim) + value.shape)
        renamed[f"{_C3D_STYLES[style].get(module, module)}.{leaf}"] = value
    assert renamed.keys() != given.keys()
    torch_weights.load_torch_weights(c3d, renamed)
    exported = torch_weights.export_torch_weights(c3d)
    jax.tree.map(np.testing.assert_array_equal, exported, given)
    tidy = torch_weights.published_weights(renamed)
    jax.tree.map(np.testing.assert_array_equal, tidy, given)


def test_fc6_reads_channels_then_time_then_place(tiny_config, monkeypatch):
    """Against a product in the original's order of flattening: C, T, H, W."""
    tiny_config.model.update(
        backbone="c3d_w8", temporal="none", clip_length=32, frame_size=(64, 32)
    )
    model = build_model(tiny_config.model, 5, rngs=nnx.Rngs(0))
    clips = np.zeros((2, 32, 64, 32, 3), "f")
    *_, pooled = jax.eval_shape(lambda clips: list(model.base.stages(clips)), clips)
    assert pooled.shape == (2, 2, 3, 2, 64)
    pooled = np.random.default_rng(0).normal(size=pooled.shape).astype("f")
    monkeypatch.setattr(type(model.base), "stages", lambda self, clips: iter([pooled]))
    weights = torch_weights.export_torch_weights(model)
    flat = np.transpose(pooled, (0, 4, 1, 2, 3)).reshape(2, -1)
    fc6 = np.maximum(flat @ weights["fc6.weight"].T + weights["fc6.bias"], 0)
    fc7 = np.maximum(fc6 @ weights["fc7.weight"].T + weights["fc7.bias"], 0)
    embedding = model(clips, train=False).embedding
    np.testing.assert_allclose(embedding, fc7, rtol=1e-4, atol=1e-4)


def test_the_classifier_of_another_size_only_when_asked(c3d):
    given = _noisy(torch_weights.export_torch_weights(c3d))
    given["fc8.weight"], given["fc8.bias"] = np.zeros((487, 128)), np.zeros(487)
    with pytest.raises(ValueError, match=r"misshaped: fc8\.weight \(487, 128\), .*5"):
        torch_weights.load_torch_weights(c3d, given)
    for partial in ("classifier", "fc8"):
        report = torch_weights.load_torch_weights(c3d, given, partial=(partial,))
        assert sorted(report.initialised) == ["classifier.bias", "classifier.weight"]
        assert sorted(report.unused) == ["fc8.bias", "fc8.weight"]
        assert len(report.loaded) == 20
    # What the other style calls classifier.0 is fc6: no name for it may be skipped.
    del given["fc6.weight"]
    given["classifier.0.weight"] = np.zeros((3, 3))
    with pytest.raises(ValueError, match=r"misshaped: classifier\.0\.weight"):
        torch_weights.load_torch_weights(c3d, given, partial=("classifier",))


def test_timm_and_torchvision_name_the_same(tiny_config, tiny_model):
    """Their keys are one another's; old torchvision files have no counters."""
    trunk = ResNet(
        blocks=(1, 1, 1, 1), width=8, dtype=np.dtype("float32"), rngs=nnx.Rngs(9)
    )
    timm = torch_weights.export_torch_weights(trunk)
    old = {k: v for k, v in timm.items() if not k.endswith("num_batches_tracked")}
    exported = []
    for given in (timm, old):
        model = tiny_model(tiny_config)
        torch_weights.load_torch_weights(model, given, partial=("classifier",))
        exported.append(torch_weights.export_torch_weights(model))
    jax.tree.map(np.testing.assert_array_equal, *exported)


def test_doubled_and_damaged_keys(tiny_config, tiny_model):
    model = tiny_model(tiny_config)
    given = torch_weights.export_torch_weights(model)
    given["module.bn1.weight"] = given["base.1.weight"]
    given["base.4.0.bn1.running_var"] = np.full(8, np.nan, "f")
    with pytest.raises(ValueError) as error:
        torch_weights.load_torch_weights(model, given)
    assert "twice: base.1.weight and module.bn1.weight" in str(error.value)
    assert "not finite in float32: base.4.0.bn1.running_var (8,)" in str(error.value)
    with pytest.raises(ValueError, match=r"conv1.weight and conv1a.0"):
        torch_weights.published_weights(
            {k: np.zeros(1) for k in ("fc6.weight", "conv1.weight", "conv1a.0")}
        )


def test_half_precision_is_widened(tiny_config, tiny_model):
    model = tiny_model(tiny_config)
    given = _noisy(torch_weights.export_torch_weights(model))
    half = {k: v.astype("float16") if v.ndim else v for k, v in given.items()}
    torch_weights.load_torch_weights(model, half)
    exported = torch_weights.export_torch_weights(model)
    assert exported["base.0.weight"].dtype == np.float32
    np.testing.assert_array_equal(exported["base.0.weight"], half["base.0.weight"])


def test_what_overflows_or_is_no_float_is_refused(tiny_model, tiny_config):
    model = tiny_model(tiny_config)
    weights = torch_weights.export_torch_weights(model)
    first, second, *_ = (k for k in weights if k.endswith("weight"))
    weights[first] = np.full(weights[first].shape, 1e300)
    weights[second] = np.ones(weights[second].shape, bool)
    with pytest.raises(torch_weights.WeightsError) as error:
        torch_weights.load_torch_weights(model, weights)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "not finite in float32",
        "no floating-point numbers",
    ]


def test_every_doubled_key_is_listed():
    weights = dict.fromkeys(("fc6.weight", "features.0.weight", "conv1a.0"), np.eye(2))
    weights |= dict.fromkeys(("conv2.bias", "features.3.bias"), np.ones(2))
    with pytest.raises(ValueError, match=r"(?s)features.0.weight and conv1a.0.*conv2"):
        torch_weights.published_weights(weights)


def test_names_that_no_network_has():
    assert torch_weights.our_parameter("encoder.weight", (2, 3)) is None
    name_and_shape = torch_weights.our_parameter("fc.weight", (5, 3))
    assert name_and_shape == ("classifier.kernel", (3, 5))
