"""reid_jax/steps.py and parallel.py: the update, its schedule, its compilation."""

import jax
import numpy as np
import optax
import pytest

from reid_jax import parallel, steps


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (4, 3, 32, 16, 3), np.uint8)
    return {"clips": clips, "labels": np.array([0, 0, 1, 1], np.int32)}


def _run(config, batch, num_steps, optimizer=None):
    optimizer = optimizer or steps.build_optimizer(config, lambda step: 1e-3)
    graphdef, state = steps.initial_state(config, 5, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    mesh = parallel.data_mesh()
    state = parallel.replicate(state, mesh)
    history = []
    for _ in range(num_steps):
        state, metrics = train_step(state, parallel.shard(batch, mesh))
        history.append(jax.device_get(metrics))
    return train_step, state, history


@pytest.mark.parametrize("temporal", ["avg", "attn_tconv", "lstm"])
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
    _, _, plain = _run(tiny_config, batch, 1)
    tiny_config.loss.triplet_reduction = "sum"
    tiny_config.loss.label_smoothing = 0.0
    _, _, changed = _run(tiny_config, batch, 1)
    np.testing.assert_allclose(
        changed[0]["triplet"], 4 * plain[0]["triplet"], rtol=1e-5
    )
    assert changed[0]["cross_entropy"] != plain[0]["cross_entropy"]
    tiny_config.loss.margin = 5.0
    _, _, wide = _run(tiny_config, batch, 1)
    assert wide[0]["triplet"] > changed[0]["triplet"]


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


def test_embedding_step_does_not_change_with_the_company(tiny_config, batch):
    optimizer = optax.sgd(0.1)
    graphdef, state = steps.initial_state(tiny_config, 5, optimizer)
    embed = steps.make_embed_step(graphdef, tiny_config)
    together = embed(state.params, state.batch_stats, batch["clips"]).embedding
    reverse = embed(state.params, state.batch_stats, batch["clips"][::-1]).embedding
    np.testing.assert_allclose(together, reverse[::-1], rtol=1e-5, atol=1e-6)


def test_a_batch_that_devices_cannot_share():
    mesh = jax.sharding.AbstractMesh((3,), ("data",))
    parallel.check_divisible(6, mesh, "P*K")
    with pytest.raises(ValueError, match=r"P\*K gives 8 clips.*3 devices.*\[6, 9\]"):
        parallel.check_divisible(8, mesh, "P*K")
