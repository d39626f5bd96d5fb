"""reid_jax/models: shapes, modes, and everything that must be refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax.models import build_model
from reid_jax.models.layers import BatchNorm
from reid_jax.models.temporal import RecurrentLayer

CHANGES = {
    "image": {"temporal": "none", "clip_length": 1},
    "avg": {"temporal": "avg"},
    "max": {"temporal": "max"},
    "attn_fc": {"temporal": "attn_fc"},
    "attn_tconv": {"temporal": "attn_tconv", "attention_norm": "sigmoid"},
    "lstm": {"temporal": "lstm"},
    "gru": {"temporal": "gru", "rnn_output": "last"},
    "3d": {"temporal": "none", "backbone": "resnet3d14_w8"},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("frame_size", [(32, 16), (33, 47)])
def test_outputs_at_odd_sizes(tiny_config, tiny_model, forward, changes, frame_size):
    tiny_config.model.update(changes)
    tiny_config.model.frame_size = frame_size
    T = tiny_config.model.clip_length
    model = tiny_model(tiny_config)
    clips = jax.random.normal(jax.random.key(0), (2, T, *frame_size, 3))
    out = forward(model, clips, True)
    D = 6 if changes["temporal"] in ("lstm", "gru") else 256
    assert out.embedding.shape == (2, D)
    assert out.logits.shape == (2, 5)
    assert np.isfinite(out.logits).all()
    if out.attention is not None:
        assert out.attention.shape == (2, T)
        np.testing.assert_allclose(out.attention.sum(axis=1), 1, rtol=1e-5)
    assert (out.frames is None) == ("3d" in changes.get("backbone", ""))


@pytest.mark.parametrize("temporal", ["avg", "attn_tconv", "lstm"])
def test_bfloat16_computes_close_to_float32(tiny_config, forward, temporal):
    tiny_config.model.temporal = temporal
    clips = jax.random.normal(jax.random.key(0), (2, 3, 32, 16, 3))
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
    ],
)
def test_what_cannot_be_is_refused(tiny_config, changes, message):
    tiny_config.model.update(changes)
    with pytest.raises(ValueError, match=message):
        build_model(tiny_config.model, 5, rngs=nnx.Rngs(0))


def test_attention_names_the_size_it_was_built_for(tiny_config, tiny_model):
    tiny_config.model.temporal = "attn_fc"
    model = tiny_model(tiny_config)
    with pytest.raises(
        ValueError, match=r"\(1, 1\).*\(2, 1\).*config\.model\.frame_size"
    ):
        model(jnp.zeros((1, 3, 64, 32, 3)))


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


def test_batch_norm_keeps_unbiased_variance():
    norm = BatchNorm(2, dtype=jnp.dtype("float32"))
    x = jnp.array([[1.0, 0.0], [3.0, 0.0]])
    y = norm(x, train=True)
    np.testing.assert_allclose(y[:, 0], [-1, 1], rtol=1e-4)
    np.testing.assert_allclose(norm.running_mean[...], [0.2, 0.0], rtol=1e-6)
    # Variance of 1, 3: biased 1 (used above), unbiased 2.
    np.testing.assert_allclose(norm.running_var[...], [0.9 + 0.2, 0.9], rtol=1e-6)
    before = np.asarray(norm.running_mean[...])
    norm(x, train=False)
    np.testing.assert_array_equal(norm.running_mean[...], before)


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


def test_every_config_builds():
    import importlib
    import pathlib

    for path in sorted(pathlib.Path(base.__file__).parent.glob("*.py")):
        if path.stem not in ("__init__", "base"):
            config = importlib.import_module(f"configs.{path.stem}").get_config()
            jax.eval_shape(
                lambda c=config: nnx.state(build_model(c.model, 5, rngs=nnx.Rngs(0)))
            )
