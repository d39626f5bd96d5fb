"""Networks in float64 against the original implementations: outputs, gradients, Adam.

Outputs and gradients agree to 1e-8 and changes under Adam to 1e-6, relative to the
norm of each tensor. By default the outputs of one head of each kind and the gradients
of one; all others, and whole networks, are slow.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from configs import base
from reid_jax import losses, steps
from reid_jax.models import temporal, torch_weights
from reid_jax.models.resnet import ResNet
from reid_jax.models.video_reid import VideoReID
from tests import reference
from tests.golden import weights

LABELS = np.array([7, 7, 311, 311], np.int32)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def _loss(model: nnx.Module, clips, smoothing):
    out = model(clips, train=True)
    cross_entropy = losses.softmax_cross_entropy(
        out.logits, LABELS, label_smoothing=smoothing
    )
    triplet = losses.batch_hard_triplet(out.embedding, LABELS, 0.3)
    loss = cross_entropy + triplet
    return loss, (jnp.stack([loss, cross_entropy, triplet]), out)


@functools.partial(jax.jit, static_argnames="graphdef")
def _gradient(graphdef, params, rest, clips, smoothing):
    def loss_fn(params):
        model = nnx.merge(graphdef, params, rest, copy=True)
        return _loss(model, clips, smoothing)

    return jax.grad(loss_fn, has_aux=True)(params)


def _summaries(graphdef, params, rest, names) -> np.ndarray:
    """The reference's 18 numbers of each of the parameters (or gradients) `names`."""
    exported = torch_weights.export_torch_weights(nnx.merge(graphdef, params, rest))
    return np.stack([weights.summary(name, exported[name]) for name in names])


def _check_summaries(actual, expected, names, tolerance, floor=1e-12):
    """Norm, product with a fixed direction and first entries, relative to the norm."""
    for name, row, bound in zip(names, actual, expected, strict=True):
        # A softmax ignores a constant: the gradient of that bias is zero.
        error = np.abs(row - bound).max()
        assert error <= tolerance * bound[0] + floor, (name, error, bound[0])


def _check_training(model, golden, clips, names, num_adam_steps):
    """Losses, gradients and Adam's steps of `model` on the reference's batch.

    `names` are the parameters to look at; the reference's arrays have a row for each of
    `golden["names"]`.
    """
    rows = [list(golden["names"]).index(name) for name in names]
    graphdef, params, rest = nnx.split(model, nnx.Param, ...)
    for key, smoothing in (("eps0", 0.0), ("eps01", 0.1)):
        grads, (parts, out) = _gradient(graphdef, params, rest, clips, smoothing)
        reference.assert_close(parts, golden[f"loss.{key}"], 1e-8)
        actual = _summaries(graphdef, grads, rest, names)
        _check_summaries(actual, golden[f"grad.{key}"][rows], names, 1e-8)
    reference.assert_close(out.embedding, golden["grad_batch.features"], 1e-8)
    reference.assert_close(out.logits, golden["grad_batch.logits"], 1e-8)
    config = base.get_config()
    optimizer = steps.build_optimizer(config, lambda step: config.train.learning_rate)
    first, opt_state = params, optimizer.init(params)

    @jax.jit
    def update(grads, opt_state, params):
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    for step in range(1, num_adam_steps + 1):
        if step > 1:
            grads, (parts, _) = _gradient(graphdef, params, rest, clips, 0.1)
        np.testing.assert_allclose(parts[0], golden["adam.losses"][step - 1], rtol=1e-6)
        params, opt_state = update(grads, opt_state, params)
        if step in (1, 3):
            delta = jax.tree.map(jnp.subtract, params, first)
            actual = _summaries(graphdef, delta, rest, names)
            expected = golden[f"adam.delta{step}"][rows]
            _check_summaries(actual, expected, names, 1e-6)


class _Stored(ResNet):
    """A trunk that has run before: gives the feature maps it was made with."""

    def __init__(self, maps: jax.Array):
        self.maps = nnx.Variable(maps)

    def __call__(self, x, *, train, keys=None):
        return self.maps[...]


@pytest.fixture(scope="module")
def trunk_maps():
    """Feature maps of the trunk for the reference's clips, by mode; its statistics."""
    with jax.enable_x64(True):
        trunk = reference.network("tp_avg", "float64").base
        graphdef, state = nnx.split(trunk)

        @functools.partial(jax.jit, static_argnames="train")
        def run(state, frames, train):
            trunk = nnx.merge(graphdef, state, copy=True)
            x = trunk(frames, train=train)
            return x, nnx.as_pure(nnx.state(trunk, nnx.BatchStat))

        def maps(seed, b, t, train):
            clips = reference.clips("tp_avg", seed, b, t).astype(np.float64)
            return run(state, clips.reshape(b * t, *clips.shape[2:]), train)

        train, statistics = maps(1, 2, 4, True)
        return {
            "eval": maps(1, 2, 4, False)[0],
            "train": train,
            "gradient": maps(2, 4, 2, True)[0],
            "statistics": statistics,
        }


def test_statistics_of_the_trunk(trunk_maps):
    golden = reference.golden("tp_avg")
    reference.check_statistics(trunk_maps["statistics"], golden, 1e-8)


def _head(name: str, maps: jax.Array) -> VideoReID:
    """The network `name` after its trunk."""
    arguments = {"dtype": jnp.dtype("float64"), "rngs": nnx.Rngs(0)}
    head = temporal.build_temporal(
        reference.config_of(name, "float64"), 2048, (7, 4), **arguments
    )
    model = VideoReID(_Stored(maps), head, 625, **arguments)
    torch_weights.load_torch_weights(model, _head_weights(reference.NETWORKS[name][0]))
    return model


@functools.cache
def _head_weights(architecture: str) -> dict[str, np.ndarray]:
    shapes = weights.shapes(architecture).items()
    return {k: weights.tensor(k, v) for k, v in shapes if not k.startswith("base.")}


_HEADS = [n for n in reference.NETWORKS if n not in ("image", "resnet3d50", "c3d")]


def _slow_but(names, usual):
    return [n if n in usual else pytest.param(n, marks=pytest.mark.slow) for n in names]


_USUAL = ("tp_max", "ta_fc_softmax", "ta_tconv_sigmoid", "lstm_mean", "gru_last")


@pytest.mark.parametrize("name", _slow_but(_HEADS, _USUAL))
def test_heads(trunk_maps, name):
    golden = reference.golden(name)
    for mode in ("eval", "train"):
        model = _head(name, trunk_maps[mode])
        # The heads compute the same in both modes: one program.
        out, _ = reference.forward(model, np.zeros((2, 4, 1, 1, 3)), True)
        reference.assert_close(out.frames, golden[f"{mode}.frame_features.f64"], 1e-8)
        reference.assert_close(out.embedding, golden[f"{mode}.features.f64"], 1e-8)
        reference.assert_close(out.logits, golden[f"{mode}.logits.f64"], 1e-8)
        if name.startswith("ta_"):
            reference.assert_close(out.attention, golden[f"{mode}.attention.f64"], 1e-8)


@pytest.mark.parametrize("name", _slow_but(_HEADS, ("ta_tconv_sigmoid",)))
def test_gradients_of_heads(trunk_maps, name):
    golden = reference.golden(name)
    if name.startswith("ta_"):
        for mode in ("eval", "train"):
            model, maps = _head(name, trunk_maps[mode]), trunk_maps[mode]
            scores = model.temporal.scores(maps.reshape(2, 4, 7, 4, 2048))
            reference.assert_close(scores, golden[f"{mode}.scores.f64"], 1e-8)
    model = _head(name, trunk_maps["gradient"])
    names = [n for n in golden["names"] if not n.startswith("base.")]
    # The trunk stands still here, so only the first step is the reference's.
    _check_training(model, golden, np.zeros((4, 2, 1, 1, 3)), names, num_adam_steps=1)


_TRAINED = [n for n in reference.NETWORKS if n != "c3d"]


@pytest.mark.slow
@pytest.mark.parametrize("name", _TRAINED)
def test_gradients_and_adam(name, convolutions):
    golden = reference.golden(name)
    clips = reference.clips(name, 2, 4, 2).astype(np.float64)
    model = reference.network(name, "float64")
    _check_training(model, golden, clips, list(golden["names"]), num_adam_steps=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", reference.NETWORKS)
def test_outputs_and_statistics(name, convolutions):
    model, golden = reference.network(name, "float64"), reference.golden(name)
    if name == "c3d":
        clips = reference.clips(name, 3, 2, 16, 112, 112).astype(np.float64)
        reference.check_c3d(model, clips, golden, 1e-8)
    elif name == "resnet3d50":
        for T in (4, 8):
            clips = reference.clips(name, 1, 2, T).astype(np.float64)
            arrays = reference.without_time(golden, T)
            reference.check_outputs(name, model, clips, arrays, 1e-8, 1e-8)
    else:
        clips = reference.clips(name, 1, 2, 4).astype(np.float64)
        reference.check_outputs(name, model, clips, golden, 1e-8, 1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tp_avg", "image"])
def test_activations_after_each_layer(name):
    """The first thing to look at when an output differs."""
    golden = reference.golden(name)
    graphdef, state = nnx.split(reference.network(name, "float64").base)
    clips = reference.clips(name, 1, 2, 4).astype(np.float64)
    frames = clips.reshape(-1, *clips.shape[2:])
    for mode in ("eval", "train"):

        @jax.jit
        def run(state, frames, train=mode == "train"):
            trunk = nnx.merge(graphdef, state, copy=True)
            return list(trunk.stages(frames, train=train))

        layers = ("maxpool", "layer1", "layer2", "layer3", "layer4")
        for layer, x in zip(layers, run(state, frames), strict=True):
            actual = weights.summary(f"act:{layer}", np.moveaxis(x, -1, 1))
            _check_summaries([actual], [golden[f"{mode}.{layer}.f64"]], [layer], 1e-8)
