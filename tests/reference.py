"""The networks of tests/golden/models, built and given the reference's weights."""

import functools

import jax
import numpy as np
from flax import nnx

import tests
from configs import base
from reid_jax.models import build_model, torch_weights
from tests.golden import weights

MODELS = tests.GOLDEN / "models"

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
    "c3d": (
        "c3d",
        {
            "backbone": "c3d",
            "temporal": "none",
            "clip_length": 16,
            "frame_size": (112, 112),
        },
    ),
}


def config_of(name: str, dtype: str = "float32"):
    config = base.get_config().model
    config.update(NETWORKS[name][1])
    config.dtype = dtype
    return config


def network(name: str, dtype: str = "float32") -> nnx.Module:
    num_classes = 487 if name == "c3d" else 625
    model = build_model(config_of(name, dtype), num_classes, rngs=nnx.Rngs(0))
    torch_weights.load_torch_weights(model, weights.state_dict(NETWORKS[name][0]))
    return model


def golden(name: str) -> dict[str, np.ndarray]:
    """Arrays of the network's file, and of the trunk's where those are kept."""
    arrays = {}
    trunk = {"image": "trunk2d_t1", "resnet3d50": "resnet3d50", "c3d": "c3d"}
    for file in (trunk.get(name, "trunk2d"), name):
        with np.load(MODELS / f"{file}.npz") as stored:
            arrays |= {key: stored[key] for key in stored}
    return arrays


def clips(name: str, seed: int, b: int, t: int, h: int = 224, w: int = 112):
    """The reference's input, channels last; one frame of it for the image baseline."""
    clip = weights.clip(seed, b, t, h, w).transpose(0, 1, 3, 4, 2)
    return clip[:, :1] if name == "image" else clip


@functools.partial(jax.jit, static_argnames=("graphdef", "train"))
def _forward(graphdef, state, clips, train):
    model = nnx.merge(graphdef, state, copy=True)
    return model(clips, train=train), nnx.as_pure(nnx.state(model, nnx.BatchStat))


def forward(model: nnx.Module, clips, train: bool):
    """The output and the BatchNorm statistics after it, compiled."""
    return _forward(*nnx.split(model), clips, train=train)


def assert_close(actual, expected, tolerance):
    """Relative to the largest magnitude of the array."""
    error = np.abs(np.asarray(actual, np.float64) - expected).max()
    assert error <= tolerance * np.abs(expected).max()


def check_outputs(
    name,
    model,
    clips,
    golden,
    tolerance,
    statistics_tolerance,
    modes=("eval", "train"),
):
    """Embeddings, logits, attention and, when training, statistics."""
    for mode in modes:
        out, statistics = forward(model, clips, mode == "train")
        assert_close(out.embedding, golden[f"{mode}.features.f64"], tolerance)
        assert_close(out.logits, golden[f"{mode}.logits.f64"], tolerance)
        if name.startswith("ta_"):
            assert_close(out.attention, golden[f"{mode}.attention.f64"], tolerance)
            np.testing.assert_allclose(out.attention.sum(axis=1), 1, atol=1e-6)
        else:
            assert out.attention is None
        if f"{mode}.frame_features.f64" in golden:
            assert_close(out.frames, golden[f"{mode}.frame_features.f64"], tolerance)
        if mode == "train":
            check_statistics(statistics["base"], golden, statistics_tolerance)


def check_statistics(trunk, golden, tolerance):
    """BatchNorm's of the first and the last layer, after a batch."""
    for key, norm in (
        ("bn1", trunk["bn1"]),
        ("layer4.2.bn3", trunk["layer4"][2]["bn3"]),
    ):
        for which in ("running_mean", "running_var"):
            expected = golden[f"train.{key}.{which}.f64"]
            assert_close(norm[which], expected, tolerance)


def check_c3d(model, clips, golden, tolerance):
    """Operations after each of the last layers; the embedding is fc7 after its ReLU."""
    base = model.base
    *_, pooled = jax.jit(lambda x: list(base.stages(x)))(clips)
    flat = np.moveaxis(np.asarray(pooled), -1, 1).reshape(len(clips), -1)
    # The reference's pool5 is stored in float32 only.
    assert_close(flat, golden["pool5.f64"], max(tolerance, 1e-6))
    assert_close(nnx.relu(base.fc6(flat)), golden["fc6.f64"], tolerance)
    out, _ = forward(model, clips, False)
    assert_close(out.embedding, golden["fc7.f64"], tolerance)
    assert_close(out.logits, golden["logits.f64"], tolerance)


def without_time(golden: dict[str, np.ndarray], T: int) -> dict[str, np.ndarray]:
    """The 3-D network's arrays for clips of `T` frames, named as the others'."""
    return {key.removeprefix(f"t{T}."): value for key, value in golden.items()}
