"""reid_jax/losses.py, against the published losses and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import tests
from reid_jax import losses

GOLDEN = np.load(tests.GOLDEN / "losses.npz")


def _cases(kind: str) -> list[str]:
    return sorted({key.split(".")[1] for key in GOLDEN if key.startswith(kind)})


@jax.jit
def _all_of_triplet(features, labels, margin):
    """Mean with its gradient, sum, hardest pairs: one program for each shape."""
    mean, gradient = jax.value_and_grad(losses.batch_hard_triplet)(
        features, labels, margin
    )
    total = losses.batch_hard_triplet(features, labels, margin, reduction="sum")
    return mean, gradient, total, losses.hardest_pairs(features, labels)


_total_loss = jax.jit(losses.total_loss, static_argnames="triplet_reduction")
_triplet_gradient = jax.jit(jax.value_and_grad(losses.batch_hard_triplet))
_cross_entropy_gradient = jax.jit(jax.value_and_grad(losses.softmax_cross_entropy))


@pytest.mark.parametrize("x64", [False, True], ids=["float32", "float64"])
@pytest.mark.parametrize("case", _cases("triplet"))
def test_triplet_of_the_published_code(case, x64):
    golden = {k: GOLDEN[f"triplet.{case}.{k}"] for k in ("features", "pids", "margin")}
    mean, grad = (GOLDEN[f"triplet.{case}.{k}"] for k in ("mean", "grad_mean"))
    with jax.enable_x64(x64):
        features = jnp.asarray(golden["features"], jnp.float64 if x64 else jnp.float32)
        labels, margin = jnp.asarray(golden["pids"]), float(golden["margin"])
        value, gradient, total, hardest = _all_of_triplet(features, labels, margin)
    tolerance = 1e-9 if x64 else 1e-6
    np.testing.assert_allclose(value, mean, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, grad, atol=tolerance)
    np.testing.assert_allclose(total, GOLDEN[f"triplet.{case}.sum"], rtol=1e-5)
    # float32: distances that are 0 but for rounding are up to 4e-3 for norms of 10.
    loose = 1e-9 if x64 else 5e-3 if "identical" in case or "dup" in case else 1e-5
    for name, pair in zip(("positive", "negative"), hardest, strict=True):
        expected = GOLDEN[f"triplet.{case}.hardest_{name}"]
        np.testing.assert_allclose(pair, expected, rtol=loose, atol=max(loose, 1e-6))


@pytest.mark.parametrize("smoothing", ["eps0", "eps01", "eps03"])
@pytest.mark.parametrize("case", _cases("xent"))
def test_cross_entropy_of_the_published_code(case, smoothing):
    logits, labels = (GOLDEN[f"xent.{case}.{k}"] for k in ("logits", "labels"))
    rate = {"eps0": 0.0, "eps01": 0.1, "eps03": 0.3}[smoothing]
    value, gradient = _cross_entropy_gradient(
        jnp.asarray(logits, jnp.float32), jnp.asarray(labels), label_smoothing=rate
    )
    golden = {k: GOLDEN[f"xent.{case}.{smoothing}.{k}"] for k in ("mean", "grad")}
    np.testing.assert_allclose(value, golden["mean"], rtol=1e-5)
    np.testing.assert_allclose(gradient, golden["grad"], atol=1e-6)


def test_triplet_by_hand():
    # On a line at 0, 1 | 3, 7: hardest positives 1 1 4 4, hardest negatives 3 2 2 6.
    points = jnp.array([[0.0], [1.0], [3.0], [7.0]])
    labels = jnp.array([5, 5, 8, 8])
    _, _, total, _ = _all_of_triplet(points, labels, 0.5)
    np.testing.assert_allclose(total, 0 + 0 + 2.5 + 0, rtol=1e-6)
    health = jax.jit(losses.batch_health)(points, labels, 0.5)
    assert float(health["active_triplets"]) == 0.25
    assert float(health["precision_at_1"]) == 0.75  # 3 is nearer to 1 than to 7


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [0, 1, 2, 3], [4, 4, 4, 4]])
def test_gradient_is_finite_where_all_embeddings_are_equal(labels):
    embeddings = jnp.full((4, 7), 0.3)
    loss, gradient = _triplet_gradient(embeddings, jnp.array(labels))
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_an_offset_that_all_embeddings_share_costs_no_digits():
    # What a collapsing network gives: far from zero, close together.
    rng = np.random.default_rng(0)
    embeddings = (30 + 0.01 * rng.normal(size=(8, 2048))).astype(np.float32)
    labels = np.repeat(np.arange(4), 2)
    exact = embeddings.astype(np.float64)
    distances = np.linalg.norm(exact[:, None] - exact[None], axis=2)
    is_same_pid = labels[:, None] == labels
    expected = (
        np.where(is_same_pid, distances, 0).max(axis=1),
        np.where(is_same_pid, np.inf, distances).min(axis=1),
    )
    *_, gradient, _, hardest = _all_of_triplet(jnp.asarray(embeddings), labels, 0.3)
    np.testing.assert_allclose(hardest, expected, rtol=1e-5)
    with jax.enable_x64(True):
        _, expected, *_ = _all_of_triplet(jnp.asarray(exact), labels, 0.3)
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_the_sum_of_both_losses_takes_every_setting():
    rng = np.random.default_rng(0)
    embeddings, logits = rng.normal(size=(4, 6)), rng.normal(size=(4, 5))
    embeddings, logits = jnp.asarray(embeddings), jnp.asarray(logits)
    labels = jnp.array([0, 0, 1, 1])
    settings = {"margin": 5.0, "label_smoothing": 0.1, "triplet_reduction": "mean"}
    settings |= {"triplet_weight": 1.0, "cross_entropy_weight": 1.0}
    loss, plain = _total_loss(embeddings, logits, labels, **settings)
    assert plain["active_triplets"] == 1
    assert 0 <= plain["precision_at_1"] <= 1
    np.testing.assert_allclose(loss, plain["triplet"] + plain["cross_entropy"])
    settings |= {"margin": 7.0, "label_smoothing": 0.0, "triplet_reduction": "sum"}
    settings |= {"triplet_weight": 2.0, "cross_entropy_weight": 3.0}
    loss, changed = _total_loss(embeddings, logits, labels, **settings)
    wider = 4 * (plain["triplet"] + 7.0 - 5.0)
    np.testing.assert_allclose(changed["triplet"], wider, rtol=1e-5)
    expected = losses.softmax_cross_entropy(logits, labels)
    np.testing.assert_allclose(changed["cross_entropy"], expected, rtol=1e-6)
    assert abs(changed["cross_entropy"] - plain["cross_entropy"]) > 1e-3
    np.testing.assert_allclose(loss, changed["loss"])
    expected = 2 * changed["triplet"] + 3 * changed["cross_entropy"]
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_unknown_reduction():
    with pytest.raises(ValueError, match="'median' must be 'mean' or 'sum'"):
        losses.batch_hard_triplet(jnp.ones((2, 2)), jnp.arange(2), reduction="median")


def test_bfloat16_embeddings_are_compared_in_float32():
    rng = np.random.default_rng(0)
    rounded = jnp.asarray(rng.normal(size=(6, 512)), jnp.bfloat16)
    labels = jnp.array([0, 0, 1, 1, 2, 2])
    loss, _ = _triplet_gradient(rounded, labels)
    assert loss.dtype == jnp.float32
    full, _ = _triplet_gradient(rounded.astype(jnp.float32), labels)
    np.testing.assert_allclose(loss, full, rtol=1e-6)


@pytest.mark.parametrize("labels", [[1], [1, 2, 3], 4])
def test_labels_that_do_not_fit(labels):
    for loss in (losses.batch_hard_triplet, losses.softmax_cross_entropy):
        with pytest.raises(ValueError, match=r"labels do not fit"):
            loss(jnp.ones((2, 5)), jnp.array(labels))
