"""reid_jax/steps.py and parallel.py: the update, its schedule, its compilation."""

import jax
import numpy as np
import optax
import pytest
from flax import nnx

from reid_jax import parallel, steps
from reid_jax.input import pixels
from reid_jax.models import build_model


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (4, 3, 32, 16, 3), np.uint8)
    return {"clips": clips, "labels": np.array([0, 0, 1, 1], np.int32)}


def _run(config, batch, num_steps, optimizer=None):
    optimizer = optimizer or steps.build_optimizer(config, lambda step: 1e-3)
    model = build_model(config.model, 5, rngs=nnx.Rngs(config.seed))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    mesh = parallel.data_mesh()
    state = parallel.replicate(state, mesh)
    history = []
    for _ in range(num_steps):
        state, metrics = train_step(state, parallel.shard(batch, mesh))
        history.append(jax.device_get(metrics))
    return train_step, state, history


@pytest.mark.parametrize("temporal", ["attn_tconv", "lstm"])
def test_the_loss_falls_and_nothing_is_compiled_twice(tiny_config, batch, temporal):
    tiny_config.model.temporal = temporal
    train_step, state, history = _run(tiny_config, batch, 8)
    assert history[-1]["loss"] < history[0]["loss"]
    assert int(state.step) == 8
    assert train_step._cache_size() == 1
    for metrics in history:
        total = metrics["triplet"] + metrics["cross_entropy"]
        np.testing.assert_allclose(metrics["loss"], total, rtol=1e-6)
        assert 0 <= metrics["precision_at_1"] <= 1
    mean = state.batch_stats["base"]["bn1"]["running_mean"]
    assert np.abs(mean).max() > 0


def test_the_config_reaches_the_loss(tiny_config, batch):
    tiny_config.loss.margin = 5.0
    _, _, (plain,) = _run(tiny_config, batch, 1)
    assert plain["active_triplets"] == 1
    tiny_config.loss.update(triplet_reduction="sum", margin=7.0, label_smoothing=0.0)
    _, _, (changed,) = _run(tiny_config, batch, 1)
    wider = 4 * (plain["triplet"] + 7.0 - 5.0)
    np.testing.assert_allclose(changed["triplet"], wider, rtol=1e-5)
    assert changed["cross_entropy"] != plain["cross_entropy"]


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


def test_bfloat16_trains_with_float32_state(tiny_config, batch):
    tiny_config.model.dtype = "bfloat16"
    _, state, history = _run(tiny_config, batch, 6)
    assert history[-1]["loss"] < history[0]["loss"]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(state.params)} == {"float32"}


def test_embedding_step_does_not_change_with_the_company(
    tiny_config, tiny_model, batch
):
    optimizer = optax.sgd(0.1)
    graphdef, state = steps.initial_state(tiny_model(tiny_config), optimizer)
    embed = steps.make_embed_step(graphdef, tiny_config)
    together = embed(state.params, state.batch_stats, batch["clips"]).embedding
    reverse = embed(state.params, state.batch_stats, batch["clips"][::-1]).embedding
    np.testing.assert_allclose(together, reverse[::-1], rtol=1e-5, atol=1e-6)


def test_a_batch_that_devices_cannot_share():
    mesh = jax.sharding.AbstractMesh((3,), ("data",))
    parallel.check_divisible(6, mesh, "P*K")
    with pytest.raises(ValueError, match=r"P\*K gives 8 clips.*3 devices.*\[6, 9\]"):
        parallel.check_divisible(8, mesh, "P*K")


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
def test_c3d_learns_from_cross_entropy_alone(tiny_config):
    tiny_config.model.update(backbone="c3d_w8", temporal="none", clip_length=16)
    tiny_config.loss.update(triplet_weight=0.0, label_smoothing=0.0)
    tiny_config.train.update(optimizer="sgd")
    clips = np.random.default_rng(0).integers(0, 256, (4, 16, 32, 16, 3), np.uint8)
    batch = {"clips": clips, "labels": np.array([0, 0, 1, 1], np.int32)}
    optimizer = steps.build_optimizer(tiny_config, lambda step: 0.03)
    _, _, history = _run(tiny_config, batch, 20, optimizer)
    for metrics in history:
        np.testing.assert_allclose(metrics["loss"], metrics["cross_entropy"])
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    # The dropout differs from step to step, and is the same in a run again.
    _, _, again = _run(tiny_config, batch, 3, optimizer)
    assert [m["loss"] for m in again] == [m["loss"] for m in history[:3]]


def test_the_mean_cube_reaches_the_network(tmp_path, tiny_config, tiny_model):
    tiny_config.data.normalization = "c3d_cube"
    clips = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 16, 3), np.uint8)
    outputs = []
    for mean in (0.0, 40.0):
        tiny_config.data.mean_cube = str(tmp_path / f"{mean}.npy")
        np.save(tiny_config.data.mean_cube, np.full(pixels.CUBE_SHAPE, mean, "f"))
        graphdef, state = steps.initial_state(tiny_model(tiny_config), optax.sgd(0.1))
        embed = steps.make_embed_step(graphdef, tiny_config)
        outputs.append(embed(state.params, state.batch_stats, clips).embedding)
    assert (outputs[0] != outputs[1]).any()


def _after_three_steps(config):
    """State and metrics of three SGD steps in float64, on 8 clips of 4 persons."""
    config.train.update(optimizer="sgd")
    config.model.dtype = "float64"
    size = (8, config.model.clip_length, *config.model.frame_size, 3)
    clips = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    batch = {"clips": clips, "labels": np.repeat(np.arange(4, dtype=np.int32), 2)}
    with jax.enable_x64(True):
        optimizer = steps.build_optimizer(config, lambda step: 1e-2)
        _, state, history = _run(config, batch, 3, optimizer)
        return jax.device_get((state, history))


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        (
            {"backbone": "resnet14_w8", "temporal": "attn_tconv"},
            [
                {
                    "train.accumulate": 4,
                    "model.batch_norm": "frozen",
                    "model.remat": True,
                }
            ],
        ),
        pytest.param(
            {"backbone": "resnet14_w8", "temporal": "attn_tconv"},
            [
                {"train.accumulate": 4, "model.batch_norm": "frozen"},
                {"model.remat": True},
            ],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"backbone": "c3d_w8", "clip_length": 16, "frame_size": (16, 16)},
            [{"train.accumulate": 2, "model.remat": True}],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_with_less_memory_it_is_the_same_step(tiny_config, model, settings):
    tiny_config.model.update({"temporal": "none"} | model)
    for fields in settings:
        changed = tiny_config.copy_and_resolve_references()
        changed.update_from_flattened_dict(fields)
        tiny_config.model.batch_norm = changed.model.batch_norm
        whole, again = map(_after_three_steps, (tiny_config, changed))
        assert whole[1][0]["triplet"] > 0
        for a, b in zip(*map(jax.tree.leaves, (whole, again)), strict=True):
            # A softmax ignores a constant: the gradient of that bias is rounding.
            atol = 1e-11 * np.abs(a).max() + 1e-15
            np.testing.assert_allclose(b, a, rtol=0, atol=atol)


def test_frozen_statistics_stay(tiny_config, batch):
    tiny_config.model.batch_norm = "frozen"
    _, state, history = _run(tiny_config, batch, 8)
    assert history[-1]["loss"] < history[0]["loss"]
    for leaf in jax.tree.leaves(state.batch_stats):
        assert len(np.unique(leaf)) == 1  # zeros and ones, as they were


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
