"""reid_jax/export: every temporal model, read back in other programs."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from configs import base
from reid_jax import parallel, steps
from reid_jax.errors import UserError
from reid_jax.export import onnx, program, resizing
from reid_jax.input import augmentation, pictures
from reid_jax.models import build_model, temporal
from reid_jax.models.c3d import C3D
from reid_jax.models.resnet import ResNet
from reid_jax.models.video_reid import ReIDOutput, VideoReID3D

SMALL = {
    **{name: {"temporal": name} for name in temporal.TEMPORAL},
    "none": {"temporal": "none", "clip_length": 1},
    "resnet3d": {"temporal": "none", "backbone": "resnet3d14_w8"},
    "c3d": {
        **{"temporal": "none", "backbone": "c3d_w8"},
        **{"clip_length": 16, "frame_size": (16, 16)},
    },
    "ibn_a": {"temporal": "avg", "backbone": "resnet14_w8_ibn_a", "neck": True},
}
has_onnx = all(map(importlib.util.find_spec, ("jax2onnx", "onnx_ir", "onnxruntime")))
needs_onnx = pytest.mark.skipif(
    not has_onnx, reason="pip install --no-deps -r requirements-onnx.txt"
)
FORMATS = ["stablehlo", pytest.param("onnx", marks=needs_onnx)]


def _config(name):
    config = base.get_config()
    config.model.update(backbone="resnet14_w8", attention_dim=4, rnn_dim=6)
    config.model.update(clip_length=3, frame_size=(32, 16))
    config.model.update(SMALL[name])
    return config


class _AllHeads(nnx.Module):
    """One block, and every temporal model on it; their embeddings side by side."""

    def __init__(self, config):
        arguments = {"dtype": np.dtype("float32"), "rngs": nnx.Rngs(0)}
        self.base = ResNet(blocks=(1,), width=2, ibn_a=True, **arguments)
        heads = []
        for config.temporal in sorted(set(temporal.TEMPORAL) - {"none"}):
            features = self.base.num_features
            heads.append(temporal.build_temporal(config, features, (8, 4), **arguments))
        self.heads = nnx.List(heads)

    def __call__(self, clips, train):
        B, T, *size = clips.shape
        maps = self.base(clips.reshape(B * T, *size), train=train)
        maps = maps.reshape(B, T, *maps.shape[1:])
        frames = maps.mean(axis=(2, 3))
        embedding = jnp.concatenate([head(frames, maps)[0] for head in self.heads], 1)
        return ReIDOutput(embedding, logits=embedding)


def _few_layers(config):
    """A network with the layers of the config's, but few: quick to compile."""
    model = config.model
    arguments = {"dtype": np.dtype("float32"), "rngs": nnx.Rngs(0)}
    if model.backbone == "c3d_w8":
        trunk = C3D(
            (model.clip_length, *model.frame_size), width=2, fc_dim=4, **arguments
        )
        return VideoReID3D(trunk, 5, **arguments)
    if model.backbone == "resnet3d14_w8":
        return VideoReID3D(
            ResNet(dims=3, blocks=(1,), width=2, **arguments), 5, **arguments
        )
    return _AllHeads(model)


def _whole(config):
    return build_model(config.model, 5, rngs=nnx.Rngs(0))


def _reader(format, embed, clips):
    """Returns a function that calls the program in a file of the format."""
    if format == "stablehlo":
        exported = jax.export.deserialize(program.stablehlo(embed, clips))
        assert exported.platforms == ("cpu", "cuda", "tpu")
        assert exported.nr_devices == 1
        return jax.jit(exported.call)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(onnx.convert(embed, clips), options)
    return lambda clips: session.run(["embedding"], {"clips": clips})[0]


def _compare(network, format, name):
    config = _config(name)
    graphdef, params, batch_stats = nnx.split(network(config), nnx.Param, nnx.BatchStat)
    params, batch_stats = nnx.as_pure(params), nnx.as_pure(batch_stats)
    # Statistics that normalise what the network really has, as after training.
    step = steps.make_embed_step(graphdef, config)
    T, (H, W) = config.model.clip_length, config.model.frame_size
    clips = np.random.default_rng(0).integers(256, size=(3, T, H, W, 3), dtype=np.uint8)
    expected = np.asarray(step(params, batch_stats, clips).embedding)
    assert np.ptp(expected, axis=0).max() > 1e-3  # clips are told apart
    shown = augmentation.build_augmentation(config)
    state = steps.TrainState(0, params, batch_stats, ())
    embed = program.embed_function(step, state, shown)
    read = _reader(format, embed, program.clip_shape(T))
    for num in (1, 3):
        found = np.asarray(read(clips[:num]))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:num], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["avg", "resnet3d", "c3d"])
@pytest.mark.parametrize("format", FORMATS)
def test_few_layers_read_back(format, name):
    _compare(_few_layers, format, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("format", FORMATS)
def test_smallest_backbones_read_back(format, name):
    _compare(_whole, format, name)


@pytest.mark.parametrize(
    ("size", "resize"), [((32, 16), None), ((29, 11), None), ((70, 100), (36, 20))]
)
def test_frames_of_any_size_are_shown_as_in_evaluation(size, resize):
    shown = augmentation.Augmentation((32, 16), resize)
    clips = np.random.default_rng(1).integers(
        256, size=(2, 3, *size, 3), dtype=np.uint8
    )
    (batch,) = pictures.clip_batches(
        ((list(clip), number) for number, clip in enumerate(clips)),
        clip_length=3,
        batch_clips=2,
        augmentation=shown,
        normalization="imagenet",
        mesh=parallel.local_mesh(),
    )
    found = np.asarray(jax.jit(lambda clips: resizing.middle(clips, shown))(clips))
    assert found.dtype == np.uint8
    differences = np.abs(found.astype(int) - batch["clips"])
    assert differences.max() <= 1  # sums halfway between two numbers
    assert differences.mean() < 0.01
    if size == (32, 16):
        np.testing.assert_array_equal(found, clips)


def test_onnx_holds_float32_only():
    config = _config("avg")
    config.model.dtype = "bfloat16"
    with pytest.raises(UserError, match=r"no convolution in bfloat16; --dtype=float32"):
        onnx.check(config)
