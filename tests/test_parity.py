"""Networks against the outputs of the original implementations (tests/golden)."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax import losses
from reid_jax.models import build_model, torch_weights
from tests.golden import weights

MODELS = pathlib.Path(__file__).parent / "golden/models"

# file: architecture of its weights, and what differs from average pooling
NETWORKS = {
    "image": ("resnet50_tp", {"temporal": "none", "clip_length": 1}),
    "tp_avg": ("resnet50_tp", {"temporal": "avg"}),
    "tp_max": ("resnet50_tp", {"temporal": "max"}),
    "ta_fc_softmax": ("resnet50_ta_fc", {"temporal": "attn_fc"}),
    "ta_fc_sigmoid": (
        "resnet50_ta_fc",
        {"temporal": "attn_fc", "attention_norm": "sigmoid"},
    ),
    "ta_tconv_softmax": ("resnet50_ta_tconv", {"temporal": "attn_tconv"}),
    "ta_tconv_sigmoid": (
        "resnet50_ta_tconv",
        {"temporal": "attn_tconv", "attention_norm": "sigmoid"},
    ),
    "lstm_mean": ("resnet50_lstm", {"temporal": "lstm"}),
    "lstm_last": ("resnet50_lstm", {"temporal": "lstm", "rnn_output": "last"}),
    "gru_mean": ("resnet50_gru", {"temporal": "gru"}),
    "gru_last": ("resnet50_gru", {"temporal": "gru", "rnn_output": "last"}),
    "resnet3d50": ("resnet3d50", {"backbone": "resnet3d50", "temporal": "none"}),
}


def _network(name: str) -> nnx.Module:
    arch, changes = NETWORKS[name]
    config = base.get_config().model
    config.update(changes)
    model = build_model(config, 625, rngs=nnx.Rngs(0))
    torch_weights.load_torch_weights(model, weights.state_dict(arch))
    return model


def _golden(name: str) -> dict[str, np.ndarray]:
    """Arrays of the network's file, and of the trunk's, where those are kept."""
    prefix = "t4." if name == "resnet3d50" else ""
    arrays = {}
    trunk = {"image": "trunk2d_t1", "resnet3d50": "resnet3d50"}.get(name, "trunk2d")
    for file in (trunk, name):
        with np.load(MODELS / f"{file}.npz") as stored:
            arrays |= {key.removeprefix(prefix): stored[key] for key in stored}
    return arrays


def _channels_last(clip: np.ndarray, name: str) -> np.ndarray:
    clip = clip.transpose(0, 1, 3, 4, 2)
    return clip[:, :1] if name == "image" else clip


@functools.partial(jax.jit, static_argnames=("graphdef", "train"))
def _forward(graphdef, state, clips, train):
    model = nnx.merge(graphdef, state, copy=True)
    return model(clips, train=train), nnx.as_pure(nnx.state(model, nnx.BatchStat))


def _assert_close(actual, expected, tolerance):
    """Relative to the largest magnitude of the array."""
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    assert error <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_statistics(name):
    # Reached in float32: 6e-6 on embeddings, 2e-6 on logits, 5e-6 on attention and
    # 5e-7 on the statistics, of the largest magnitude.
    graphdef, state = nnx.split(_network(name))
    clips = _channels_last(weights.clip(1, 2, 4, 224, 112), name)
    golden = _golden(name)
    for mode in ("eval", "train"):
        out, statistics = _forward(graphdef, state, clips, mode == "train")
        _assert_close(out.embedding, golden[f"{mode}.features.f64"], 1e-4)
        _assert_close(out.logits, golden[f"{mode}.logits.f64"], 1e-4)
        if name.startswith("ta_"):
            _assert_close(out.attention, golden[f"{mode}.attention.f64"], 1e-4)
            np.testing.assert_allclose(out.attention.sum(axis=1), 1, atol=1e-6)
        else:
            assert out.attention is None
    trunk = statistics["base"]
    for key, norm in (
        ("bn1", trunk["bn1"]),
        ("layer4.2.bn3", trunk["layer4"][2]["bn3"]),
    ):
        for which in ("running_mean", "running_var"):
            _assert_close(norm[which], golden[f"train.{key}.{which}.f64"], 1e-5)


def _loss(params, rest, graphdef, clips, labels, smoothing):
    model = nnx.merge(graphdef, params, rest, copy=True)
    out = model(clips, train=True)
    cross_entropy = losses.softmax_cross_entropy(
        out.logits, labels, label_smoothing=smoothing
    )
    triplet = losses.batch_hard_triplet(out.embedding, labels, 0.3)
    return cross_entropy + triplet, jnp.stack([cross_entropy, triplet])


# A gradient takes 15 to 25 s here; the trunk is the same in all but the 3-D network.
_GRADIENTS = [
    name
    if name in ("tp_avg", "ta_tconv_softmax", "gru_mean")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in NETWORKS
]


@pytest.mark.parametrize("name", _GRADIENTS)
def test_losses_and_gradients(name):
    # Reached in float32: 2e-6 on the losses; gradient norms 5e-5 in the median.
    graphdef, params, rest = nnx.split(_network(name), nnx.Param, ...)
    golden = _golden(name)
    clips = _channels_last(weights.clip(2, 4, 2, 224, 112), name)
    labels = jnp.array([7, 7, 311, 311])
    gradient = jax.jit(
        jax.value_and_grad(_loss, has_aux=True), static_argnames=("graphdef",)
    )
    for key, smoothing in (("eps01", 0.1), ("eps0", 0.0)):
        (loss, parts), grads = gradient(
            params,
            rest,
            graphdef=graphdef,
            clips=clips,
            labels=labels,
            smoothing=smoothing,
        )
        actual = np.array([loss, *parts])
        np.testing.assert_allclose(actual, golden[f"loss.{key}"], rtol=1e-4, atol=1e-5)
        model = nnx.merge(graphdef, grads, rest)
        by_name = torch_weights.export_torch_weights(model)
        norms = golden[f"grad.{key}"][:, 0]
        # A softmax ignores a constant, so this gradient is zero but for rounding.
        floor = 1e-5 * norms.max()
        for parameter, norm in zip(golden["names"], norms, strict=True):
            actual = np.linalg.norm(by_name[_as_exported(str(parameter), by_name)])
            assert abs(actual - norm) <= 1e-2 * norm + floor, parameter


def _as_exported(name: str, exported) -> str:
    """The reference's name in our export (its 3-D network is not called base)."""
    return name if name in exported else name.removeprefix("base.")


def test_weights_by_rule_are_drawn_as_in_the_reference():
    path = MODELS.parent / "selfcheck.json"
    expected = json.loads(path.read_text())["weights"]["resnet50_ta_tconv"]
    drawn = weights.state_dict("resnet50_ta_tconv").values()
    total = sum(float(value.sum(dtype=np.float64)) for value in drawn)
    np.testing.assert_allclose(total, expected["sum"], rtol=1e-9)
