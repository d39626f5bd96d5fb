"""reid_jax/models: shapes, modes, and everything that must be refused."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax.models import build_model
from reid_jax.models.c3d import C3D
from reid_jax.models.layers import dropout
from reid_jax.models.resnet import ResNet
from reid_jax.models.temporal import Pooling, RecurrentLayer
from reid_jax.models.video_reid import VideoReID, VideoReID3D

CHANGES = {
    "image": {"temporal": "none", "clip_length": 1},
    "avg": {"temporal": "avg"},
    "max": {"temporal": "max"},
    "attn_fc": {"temporal": "attn_fc"},
    "attn_tconv": {"temporal": "attn_tconv", "attention_norm": "sigmoid"},
    "lstm": {"temporal": "lstm"},
    "gru": {"temporal": "gru", "rnn_output": "last"},
    "strong": {"temporal": "attn_tconv", "neck": True, "last_stride": 1},
    "ibn_a": {"temporal": "avg", "backbone": "resnet14_w8_ibn_a"},
    "3d": {"temporal": "none", "backbone": "resnet3d14_w8"},
    "c3d": {"temporal": "none", "backbone": "c3d_w8", "clip_length": 17},
}
_WITH_ATTENTION = ("attn_fc", "attn_tconv", "strong")


def _clips(b: int, t: int, frame_size) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(b, t, *frame_size, 3)).astype("f")


@pytest.mark.parametrize("name", CHANGES)
def test_shapes_at_odd_sizes(tiny_config, tiny_model, name):
    tiny_config.model.update(CHANGES[name])
    tiny_config.model.frame_size = (33, 47)
    clips = _clips(2, tiny_config.model.clip_length, (33, 47))
    model = nnx.eval_shape(lambda: tiny_model(tiny_config))
    _check_shapes(name, _shapes(model, clips), clips)


def _shapes(model, clips, train=True):
    """The output without its values: nothing is compiled."""

    def fields(model, clips):
        return vars(model(clips, train=train, rng=jax.random.key(1)))

    return types.SimpleNamespace(**nnx.eval_shape(fields, model, clips))


def _check_shapes(name, out, clips):
    B, T = clips.shape[:2]
    D = {"lstm": 6, "gru": 6, "c3d": 128}.get(name, 256)
    assert out.embedding.shape == (B, D)
    assert out.logits.shape == (B, 5)
    assert (out.attention is None) == (name not in _WITH_ATTENTION)
    if out.attention is not None:
        assert out.attention.shape == (B, T)
    assert (out.frames is None) == ("3d" in name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("frame_size", [(33, 47), (32, 16)])
def test_outputs_at_odd_sizes(tiny_config, tiny_model, forward, name, frame_size):
    tiny_config.model.update(CHANGES[name])
    tiny_config.model.frame_size = frame_size
    clips = _clips(2, tiny_config.model.clip_length, frame_size)
    out = forward(tiny_model(tiny_config), clips, True)
    _check_shapes(name, out, clips)
    assert np.isfinite(out.logits).all()
    if out.attention is not None:
        np.testing.assert_allclose(out.attention.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "temporal",
    [
        pytest.param("avg", marks=pytest.mark.slow),
        "attn_tconv",
        pytest.param("lstm", marks=pytest.mark.slow),
    ],
)
def test_bfloat16_computes_close_to_float32(tiny_config, forward, temporal):
    tiny_config.model.temporal = temporal
    clips = _clips(2, 3, (32, 16))
    outputs = []
    for dtype in ("float32", "bfloat16"):
        tiny_config.model.dtype = dtype
        model = build_model(tiny_config.model, 5, rngs=nnx.Rngs(0))
        out = forward(model, clips, False)
        assert out.embedding.dtype == out.logits.dtype == jnp.float32
        assert all(
            leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(model))
        )
        outputs.append(np.asarray(out.embedding))
    # bfloat16 has 8 bits: a few per cent after a dozen layers.
    error = np.linalg.norm(outputs[0] - outputs[1]) / np.linalg.norm(outputs[0])
    assert 0 < error < 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": "resnet51"}, "backbone='resnet51'; known: 'resnet50'"),
        ({"temporal": "attention"}, "temporal='attention'; known: 'none', 'avg'"),
        ({"attention_norm": "l1"}, "known: 'softmax', 'sigmoid'"),
        ({"rnn_output": "first"}, "known: 'mean', 'last'"),
        ({"dtype": "float16"}, "dtype='float16'"),
        ({"clip_length": 0}, "clip_length=0 must be at least 1"),
        ({"dtype": "float64"}, "needs jax.enable_x64"),
        ({"frame_size": ("a", "b")}, "frame_size=.* must be .height, width."),
        ({"frame_size": (224,)}, "frame_size=.* must be .height, width."),
        ({"temporal": "none"}, "takes clips of one frame, not clip_length=3"),
        ({"backbone": "resnet3d14_w8"}, "takes config.model.temporal='none'"),
        ({"backbone": "c3d_w8"}, "takes config.model.temporal='none'"),
        (
            {"backbone": "c3d_w8", "temporal": "none", "clip_length": 15},
            "at least 16 frames of 16×16, not config.model.clip_length=15 .*=32×16",
        ),
    ],
)
def test_what_cannot_be_is_refused(tiny_config, changes, message):
    tiny_config.model.update(changes)
    with pytest.raises(ValueError, match=message):
        build_model(tiny_config.model, 5, rngs=nnx.Rngs(0))


@pytest.fixture
def small_c3d(tiny_config, tiny_model):
    tiny_config.model.update(backbone="c3d_w8", temporal="none", clip_length=16)
    return tiny_model(tiny_config)


def test_c3d_drops_half_of_what_it_learns_from(small_c3d, monkeypatch):
    # What is dropped comes after the convolutions: these maps stand for theirs.
    maps = jnp.asarray(np.random.default_rng(0).random((8, 1, 2, 1, 64), "f"))
    monkeypatch.setattr(C3D, "stages", lambda self, clips: iter([maps]))
    clips = jnp.zeros((8, 16, 32, 16, 3))

    def run(train: bool, seed: int = 0):
        return small_c3d(clips, train=train, rng=jax.random.key(seed))

    quiet = run(False)
    first, again, other = (run(True, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.logits, again.logits)
    assert (first.embedding != other.embedding).any()
    assert type(small_c3d.base).dropout == 0.5  # paper 2, Sec. II-A
    # The embedding itself is whole; what the classifier sees is not.
    kernel, bias = small_c3d.classifier.kernel[...], small_c3d.classifier.bias[...]
    whole = first.embedding @ kernel + bias
    assert np.abs(np.asarray(first.logits) - whole).max() > 0.1 * np.abs(whole).max()
    np.testing.assert_allclose(
        quiet.logits, quiet.embedding @ kernel + bias, rtol=1e-4, atol=1e-5
    )


def test_dropout_keeps_the_mean():
    keys = jax.random.split(jax.random.key(0), 10)
    x = dropout(jnp.ones((10, 1000)), 0.25, keys)
    np.testing.assert_allclose(np.unique(x), [0, 4 / 3], rtol=1e-6)
    assert abs(float(jnp.mean(x == 0)) - 0.25) < 0.02  # 4.6 standard deviations
    assert (x[0] != x[1]).any()
    np.testing.assert_array_equal(dropout(jnp.ones((2, 1000)), 0.25, keys[4:6]), x[4:6])


def test_c3d_says_what_it_needs(small_c3d, forward):
    with pytest.raises(ValueError, match="needs rng="):
        forward(small_c3d, jnp.zeros((1, 16, 32, 16, 3)), True, rng=None)
    with pytest.raises(ValueError, match=r"\(16, 32, 16\).*not \(16, 32, 32\)"):
        forward(small_c3d, jnp.zeros((1, 16, 32, 32, 3)), False)


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet3d14_w8", "c3d_w8"])
def test_3d_networks_use_the_order_of_the_frames(
    tiny_config, tiny_model, forward, backbone
):
    tiny_config.model.update(backbone=backbone, temporal="none", clip_length=16)
    model = tiny_model(tiny_config)
    clips = jax.random.normal(jax.random.key(0), (1, 16, 32, 16, 3))
    out = forward(model, clips, False).embedding
    backwards = forward(model, clips[:, ::-1], False).embedding
    assert np.abs(np.asarray(out - backwards)).max() > 1e-3


def test_attention_names_the_size_it_was_built_for(tiny_config, tiny_model, forward):
    tiny_config.model.temporal = "attn_fc"
    model = tiny_model(tiny_config)
    with pytest.raises(
        ValueError, match=r"\(1, 1\).*\(2, 1\).*config\.model\.frame_size"
    ):
        forward(model, jnp.zeros((1, 3, 64, 32, 3)), False)


def test_attention_without_relu_is_the_papers_equation(tiny_config, tiny_model):
    tiny_config.model.temporal = "attn_fc"
    tiny_config.model.attention_relu = False
    model = tiny_model(tiny_config)
    maps = jax.random.normal(jax.random.key(1), (2, 3, 1, 1, 256))
    kernel = model.temporal.attention_conv.kernel[...][0, 0]
    hidden = maps[:, :, 0, 0] @ kernel + model.temporal.attention_conv.bias[...]
    fc = model.temporal.attention_fc
    expected = (hidden @ fc.kernel[...] + fc.bias[...])[..., 0]
    np.testing.assert_allclose(model.temporal.scores(maps), expected, atol=1e-5)
    assert (expected < 0).any()  # which a ReLU would have cut


def _slow_rnn(layer: RecurrentLayer, frames: np.ndarray) -> np.ndarray:
    """One number at a time would be too slow; one step at a time, in NumPy."""
    w_ih, w_hh, b_ih, b_hh = (
        np.asarray(getattr(layer, f"{kind}_l0")[...], np.float64)
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    h = c = np.zeros((len(frames), layer.hidden))
    outputs = []
    for x in frames.swapaxes(0, 1):
        a, b = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
        if layer.cell == "lstm":
            i, f, g, o = np.split(a + b, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            z = sigmoid(az + bz)
            h = (1 - z) * np.tanh(an + sigmoid(ar + br) * bn) + z * h
        outputs.append(h)
    return np.stack(outputs, axis=1)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_recurrent_layer_step_by_step(cell):
    layer = RecurrentLayer(
        4, 6, cell=cell, dtype=jnp.dtype("float32"), rngs=nnx.Rngs(params=3)
    )
    frames = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("f")
    np.testing.assert_allclose(layer(frames), _slow_rnn(layer, frames), atol=1e-5)


def test_c3d_has_no_last_stride(tiny_config):
    tiny_config.model.update(backbone="c3d_w8", temporal="none", last_stride=1)
    with pytest.raises(ValueError, match="last_stride=1 is of ResNets"):
        build_model(tiny_config.model, 5, rngs=nnx.Rngs(0))


def test_every_config_builds():
    import importlib
    import pathlib

    others = ("__init__", "base", "tables", "variants")
    for path in sorted(pathlib.Path(base.__file__).parent.glob("*.py")):
        if path.stem not in others:
            config = importlib.import_module(f"configs.{path.stem}").get_config()
            jax.eval_shape(
                lambda c=config: nnx.state(build_model(c.model, 5, rngs=nnx.Rngs(0)))
            )


class _Flat(ResNet):
    """A trunk whose feature map is its input: nothing to compile."""

    dropout, frozen = 0.0, False

    def __init__(self, num_features: int):
        self.num_features = num_features

    def __call__(self, x, *, train, keys=None):
        return x


@pytest.mark.parametrize("kind", ["2-D", "3-D"])
def test_the_neck_stands_between_triplet_and_classifier(kind):
    arguments = {"neck": True, "dtype": jnp.dtype("float32"), "rngs": nnx.Rngs(0)}
    if kind == "2-D":
        model = VideoReID(_Flat(3), Pooling(3, "avg"), 5, **arguments)
    else:
        model = VideoReID3D(_Flat(3), 5, **arguments)
    clips = _clips(4, 3, (2, 1))
    trained = model(clips, train=True)
    x = np.asarray(trained.embedding, np.float64)
    np.testing.assert_allclose(x, clips.mean(axis=(1, 2, 3)), atol=1e-6)
    normed = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    kernel = np.asarray(model.classifier.kernel[...], np.float64)
    np.testing.assert_allclose(trained.logits, normed @ kernel, atol=1e-6)
    # Scored is what comes out of it: here with statistics that make it plain.
    model.bottleneck.running_mean[...] = jnp.full(3, 3.0)
    model.bottleneck.running_var[...] = jnp.full(3, 4.0 - 1e-5)
    scored = model(clips, train=False)
    np.testing.assert_allclose(scored.embedding, (x - 3) / 2, atol=1e-6)
    np.testing.assert_allclose(scored.logits, scored.embedding @ kernel, atol=1e-6)


@pytest.mark.parametrize("backbone", ["resnet14_w8", "resnet3d14_w8"])
def test_a_neck_has_neither_its_own_bias_nor_the_classifiers(tiny_config, backbone):
    temporal = "avg" if backbone == "resnet14_w8" else "none"
    tiny_config.model.update(backbone=backbone, temporal=temporal, neck=True)
    model = nnx.eval_shape(lambda: build_model(tiny_config.model, 5, rngs=nnx.Rngs(0)))
    names = {path[-2:] for path, _ in nnx.to_flat_state(nnx.state(model, nnx.Param))}
    assert ("bottleneck", "weight") in names
    assert not {("bottleneck", "bias"), ("classifier", "bias")} & names


def test_the_last_stride_keeps_the_map(tiny_config, tiny_model):
    tiny_config.model.update(frame_size=(64, 32), temporal="attn_fc", last_stride=1)
    model = nnx.eval_shape(lambda: tiny_model(tiny_config))
    clips = _clips(2, 3, (64, 32))
    assert model.temporal.map_size == (4, 2)
    trunk = nnx.eval_shape(lambda m, x: m.base(x, train=False), model, clips[:, 0])
    assert trunk.shape == (2, 4, 2, 256)
    assert _shapes(model, clips).embedding.shape == (2, 256)
    tiny_config.model.last_stride = 3
    with pytest.raises(ValueError, match="last_stride=3; known: 1, 2"):
        tiny_model(tiny_config)
