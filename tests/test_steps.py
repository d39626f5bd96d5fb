"""reid_jax/steps.py: the update, its schedule, its compilation, on several devices."""

import functools

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from configs import base
from reid_jax import config_checks, parallel, steps
from reid_jax.input import pixels
from reid_jax.models import build_model, temporal
from reid_jax.models.resnet import ResNet
from reid_jax.models.video_reid import VideoReID


def _config(**model):
    config = base.get_config()
    config.model.update(temporal="attn_tconv", attention_dim=4, rnn_dim=6)
    config.model.update(clip_length=3, frame_size=(32, 16), dtype="float64")
    config.model.update(model)
    config.data.p = 4
    config.train.optimizer = "sgd"
    return config


def _one_block(config) -> VideoReID:
    """The network of `config` with one block of two channels: quick to compile."""
    model = config.model
    same = {"dtype": np.dtype(model.dtype), "rngs": nnx.Rngs(config.seed)}
    frozen = model.batch_norm == "frozen"
    trunk = ResNet(blocks=(1,), width=2, frozen=frozen, remat=model.remat, **same)
    head = temporal.build_temporal(model, trunk.num_features, (8, 4), **same)
    return VideoReID(trunk, head, 5, **same)


def _whole(config):
    return build_model(config.model, 5, rngs=nnx.Rngs(config.seed))


def _batch(config):
    """Two clips of each of P persons."""
    persons = np.arange(config.data.p, dtype=np.int32)
    size = (2 * len(persons), config.model.clip_length, *config.model.frame_size, 3)
    clips = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    return {"clips": clips, "labels": np.repeat(persons, 2)}


def _run(config, num_steps, *, network=_one_block, num_devices=1, learning_rate=1e-2):
    """The step, and state and metrics after each of `num_steps`."""
    with jax.enable_x64(config.model.dtype == "float64"):
        optimizer = steps.build_optimizer(config, lambda step: learning_rate)
        graphdef, state = steps.initial_state(network(config), optimizer)
        train_step = steps.make_train_step(graphdef, optimizer, config)
        devices = jax.devices()[:num_devices]
        assert len(devices) == num_devices
        mesh = parallel.mesh_of(devices)
        state, batch = parallel.replicate(state, mesh), _batch(config)
        history = []
        for _ in range(num_steps):
            state, metrics = train_step(state, parallel.shard(batch, mesh))
            history.append(jax.device_get((state, metrics)))
        return train_step, history


def _assert_same(ours, expected):
    for a, b in zip(*map(jax.tree.leaves, (expected, ours)), strict=True):
        # A softmax ignores a constant: the gradient of that bias is rounding.
        atol = 1e-11 * np.abs(a).max() + 1e-15
        np.testing.assert_allclose(b, a, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def on_one_device():
    """The compiled step and what eight steps of it gave."""
    return _run(_config(), 8)


def _check_learning(history):
    losses = [float(metrics["loss"]) for _, metrics in history]
    assert losses[-1] < losses[0]
    for step, (state, metrics) in enumerate(history):
        assert int(state.step) == step + 1
        total = metrics["triplet"] + metrics["cross_entropy"]
        np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)
        assert 0 <= metrics["precision_at_1"] <= 1


def test_the_loss_falls_and_nothing_is_compiled_twice(on_one_device):
    train_step, history = on_one_device
    _check_learning(history)
    assert train_step._cache_size() == 1
    mean = history[-1][0].batch_stats["base"]["bn1"]["running_mean"]
    assert np.abs(mean).max() > 0


def test_a_step_copies_nothing_by_accident(on_one_device):
    train_step, history = on_one_device
    with jax.enable_x64(True):
        mesh = parallel.mesh_of(jax.devices()[:1])
        state = parallel.replicate(history[0][0], mesh)
        with jax.transfer_guard("disallow"):  # but for what is asked for
            state, _ = train_step(state, parallel.shard(_batch(_config()), mesh))
        assert int(state.step) == 2


def test_two_devices_compute_the_step_of_one(on_one_device):
    _, history = _run(_config(), 1, num_devices=2)
    assert history[0][1]["triplet"] > 0
    _assert_same(history[0], on_one_device[1][0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "dtype"),
    [("attn_tconv", "float32"), ("lstm", "float32"), ("attn_tconv", "bfloat16")],
)
def test_whole_networks_learn(name, dtype):
    config = _config(backbone="resnet14_w8")
    config.model.update(temporal=name, dtype=dtype)
    config.train.optimizer = "adam"
    train_step, history = _run(config, 8, network=_whole, learning_rate=1e-3)
    _check_learning(history)
    assert train_step._cache_size() == 1
    params = jax.tree.leaves(history[-1][0].params)
    assert {leaf.dtype.name for leaf in params} == {"float32"}


def test_bfloat16_trains_with_float32_state():
    config = _config()
    config.model.dtype = "bfloat16"
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    graphdef, state = steps.initial_state(_one_block(config), optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    after, metrics = jax.eval_shape(train_step, state, _batch(config))
    for a, b in zip(*map(jax.tree.leaves, (state, after)), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
    leaves = jax.tree.leaves((after.params, after.batch_stats, metrics))
    assert {leaf.dtype.name for leaf in leaves} == {"float32"}


_FROZEN = {"model.batch_norm": "frozen"}
_LESS = {"train.accumulate": 4, "model.remat": True} | _FROZEN


@functools.cache
def _frozen_steps():
    return _run(_config(batch_norm="frozen"), 3)[1]


def test_with_less_memory_it_is_the_same_step():
    config = _config()
    config.update_from_flattened_dict(_LESS)
    _, history = _run(config, 3)
    assert history[0][1]["triplet"] > 0
    _assert_same(history, _frozen_steps())


def test_frozen_statistics_stay():
    history = _frozen_steps()
    assert history[-1][1]["loss"] < history[0][1]["loss"]
    for leaf in jax.tree.leaves(history[-1][0].batch_stats):
        assert len(np.unique(leaf)) == 1  # zeros and ones, as they were


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "whole", "less"),
    [
        ({}, _FROZEN, _LESS),
        ({}, _FROZEN, {"train.accumulate": 4} | _FROZEN),
        ({}, {}, {"model.remat": True}),
        (
            {"backbone": "c3d_w8", "clip_length": 16, "frame_size": (16, 16)},
            {},
            {"train.accumulate": 2, "model.remat": True},
        ),
    ],
)
def test_with_less_memory_whole_networks_take_the_same_step(model, whole, less):
    found = []
    for settings in (whole, less):
        config = _config(backbone="resnet14_w8")
        config.model.update(model)
        if model:
            config.model.temporal = "none"
        config.update_from_flattened_dict(settings)
        found.append(_run(config, 3, network=_whole)[1])
    assert found[0][0][1]["triplet"] > 0
    _assert_same(*found)


def test_weight_decay_is_coupled(tiny_config):
    # With a zero gradient Adam's first step is lr · sign(decay · w): AdamW's is not.
    tiny_config.train.weight_decay = 5e-4
    optimizer = steps.build_optimizer(tiny_config, lambda step: 0.01)
    params = {"w": np.array([2.0, -3.0], np.float32)}
    zero = {"w": np.zeros(2, np.float32)}
    updates, _ = optimizer.update(zero, optimizer.init(params), params)
    np.testing.assert_allclose(updates["w"], [-0.01, 0.01], rtol=1e-4)


def test_schedule_by_hand(tiny_config):
    t = tiny_config.train
    t.learning_rate, t.decay_every_epochs, t.decay_factor = 1.0, 2, 0.1
    schedule = steps.learning_rate_schedule(tiny_config, steps_per_epoch=5)
    np.testing.assert_allclose([schedule(s) for s in (0, 9, 10, 20)], [1, 1, 0.1, 0.01])
    t.warmup_epochs = 1.0
    schedule = steps.learning_rate_schedule(tiny_config, steps_per_epoch=5)
    expected = [0.2, 0.4, 1.0, 1.0]
    np.testing.assert_allclose([schedule(s) for s in (0, 1, 4, 5)], expected, rtol=1e-6)


def test_embeddings_do_not_change_with_the_company(tmp_path, forward):
    """They are those of the network, of frames normalised as the config says."""
    config = _config()
    config.model.dtype = "float32"
    config.data.normalization = "c3d_cube"
    config.data.mean_cube = str(tmp_path / "mean.npy")
    np.save(config.data.mean_cube, np.full(pixels.CUBE_SHAPE, 40.0, "f"))
    model, clips = _one_block(config), _batch(config)["clips"]
    graphdef, state = steps.initial_state(model, optax.sgd(0.1))
    embed = steps.make_embed_step(graphdef, config)
    together = embed(state.params, state.batch_stats, clips).embedding
    reverse = embed(state.params, state.batch_stats, clips[::-1]).embedding
    np.testing.assert_allclose(together, reverse[::-1], rtol=1e-5, atol=1e-6)
    normalised = steps.normalizer(config)(clips)
    np.testing.assert_allclose(normalised, clips[..., ::-1] - 40.0, rtol=1e-6)
    expected = forward(model, normalised, False).embedding
    np.testing.assert_allclose(together, expected, rtol=1e-5, atol=1e-6)


def test_sgd_is_torchs_and_caffes(tiny_config):
    """v ← m v + (g + d w), w ← w - lr v, three steps by hand."""
    tiny_config.train.update(optimizer="sgd", momentum=0.9, weight_decay=0.1)
    optimizer = steps.build_optimizer(tiny_config, lambda step: 0.5)
    w = expected = np.array(2.0)
    velocity, opt_state = 0.0, optimizer.init(w)
    for gradient in (1.0, -2.0, 0.5):
        velocity = 0.9 * velocity + gradient + 0.1 * expected
        expected = expected - 0.5 * velocity
        updates, opt_state = optimizer.update(np.array(gradient), opt_state, w)
        w = optax.apply_updates(w, updates)
        np.testing.assert_allclose(w, expected, rtol=1e-5)


def test_unknown_optimizer(tiny_config):
    tiny_config.train.optimizer = "adamw"
    with pytest.raises(ValueError, match="'adamw' is unknown; known: adam, sgd"):
        steps.build_optimizer(tiny_config, lambda step: 0.1)


@pytest.mark.slow
def test_c3d_learns_from_cross_entropy_alone():
    config = _config(backbone="c3d_w8", clip_length=16)
    config.model.update(temporal="none", dtype="float32")
    config.data.p = 2
    config.loss.update(triplet_weight=0.0, label_smoothing=0.0)
    _, history = _run(config, 60, network=_whole, learning_rate=0.003)
    losses = [metrics["loss"] for _, metrics in history]
    for _, metrics in history:
        np.testing.assert_allclose(metrics["loss"], metrics["cross_entropy"])
    # Dropout scatters single losses. Seeds 0 to 5 reach 0.18 to 0.48 of the first; at
    # a rate of 0.03 only some seeds learn.
    assert np.mean(losses[-10:]) < 0.5 * losses[0]
    # The dropout differs from step to step, and is the same in a run again.
    _, again = _run(config, 3, network=_whole, learning_rate=0.003)
    assert [m["loss"] for _, m in again] == losses[:3]


@pytest.mark.parametrize(
    ("settings", "parts", "num_devices", "message"),
    [
        ({}, 2, 1, "cannot have BatchNorm over the whole batch.*remat=True"),
        ({"batch_norm": "frozen"}, 3, 1, r"P\*K=4 .* possible: \[1, 2, 4\]"),
        ({"batch_norm": "frozen"}, 4, 2, r"on 2 devices; possible: \[1, 2\]"),
    ],
)
def test_parts_that_cannot_be(tiny_config, settings, parts, num_devices, message):
    tiny_config.model.update(settings)
    tiny_config.train.accumulate = 1
    statistics = {"mean": np.zeros(3)}
    steps.check_accumulation(tiny_config, statistics, 1)
    tiny_config.train.accumulate = parts
    with pytest.raises(ValueError, match=message):
        steps.check_accumulation(tiny_config, statistics, num_devices)


def test_other_losses_fall_too(tiny_config):
    config = tiny_config
    config.loss.update(metric="circle", classifier="arcface", center_weight=0.01)
    config.model.update(classifier="cosine", centers=True)
    config.train.learning_rate = 1e-3
    config_checks.check_config(config)
    model = build_model(config.model, 2, rngs=nnx.Rngs(0))
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    graphdef, state = steps.initial_state(model, optimizer)
    step = steps.make_train_step(graphdef, optimizer, config)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 255, (4, 3, 32, 16, 3), np.uint8)
    batch = {"clips": clips, "labels": np.array([0, 0, 1, 1])}
    found = []
    for _ in range(8):
        state, metrics = step(state, batch)
        found.append(float(metrics["loss"]))
    assert found[-1] < found[0]
    assert {"circle", "cross_entropy", "center"} < metrics.keys()
