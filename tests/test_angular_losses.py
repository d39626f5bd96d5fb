"""reid_jax/angular_losses.py, and other losses than the paper's: by hand, by loops."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reid_jax import angular_losses, losses


def _rows(B=8, D=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(B, D)).astype(np.float32), np.repeat(np.arange(B // 2), 2)


def _circle_by_loops(x, labels, margin, scale):
    """Eq. 4 of the paper, anchor by anchor, in Python's floats."""
    x = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    total = 0.0
    for i in range(len(x)):
        positives = negatives = 0.0
        for j in range(len(x)):
            s = float(x[i] @ x[j])
            if labels[i] != labels[j]:
                negatives += math.exp(scale * max(0, s + margin) * (s - margin))
            elif i != j:
                weight = max(0, 1 + margin - s)
                positives += math.exp(-scale * weight * (s - 1 + margin))
        total += math.log(1 + negatives * positives)
    return total / len(x)


@pytest.mark.parametrize(("margin", "scale"), [(0.25, 8.0), (0.4, 1.0)])
def test_circle_is_the_paper_s_sum(margin, scale):
    x, labels = _rows()
    value = angular_losses.circle(x, jnp.asarray(labels), margin=margin, scale=scale)
    expected = _circle_by_loops(x, labels, margin, scale)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # Lengths do not matter.
    longer = angular_losses.circle(
        7 * x, jnp.asarray(labels), margin=margin, scale=scale
    )
    np.testing.assert_allclose(longer, expected, rtol=1e-5)


def test_circle_by_hand():
    """One pair at cosine 0, and nobody else: no negative, no loss."""
    x = np.eye(2, dtype=np.float32)
    assert angular_losses.circle(x, jnp.array([4, 4])) == 0
    # Two persons without a second clip: no positive, no loss.
    assert angular_losses.circle(x, jnp.array([0, 1])) == 0


def test_weights_of_the_circle_have_no_gradient():
    """Eq. 9's gradient by s_n: that of the sum with the weights held."""
    x = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], np.float32)
    labels = jnp.array([0, 0, 1])
    whole = jax.grad(lambda x: angular_losses.circle(x, labels, scale=4.0))(x)

    def held(y):
        unit = y / jnp.linalg.norm(y, axis=1, keepdims=True)
        s, fixed = unit @ unit.T, jnp.asarray(x @ x.T)
        total = 0.0
        for anchor, positive, negative in ((0, 1, 2), (1, 0, 2)):
            toward = -(1.25 - fixed[anchor, positive]) * (s[anchor, positive] - 0.75)
            away = (fixed[anchor, negative] + 0.25) * (s[anchor, negative] - 0.25)
            total += jnp.log(1 + jnp.exp(4 * toward) * jnp.exp(4 * away))
        return total / 3

    np.testing.assert_allclose(whole, jax.grad(held)(x), atol=1e-6)


def test_margins_by_hand():
    cosines = jnp.array([[0.5, -0.2], [0.1, -0.99]])
    labels = jnp.array([0, 1])
    found = angular_losses.margin_logits(
        cosines, labels, "cosface", margin=0.35, scale=10.0
    )
    np.testing.assert_allclose(found, [[1.5, -2.0], [1.0, -13.4]], rtol=1e-5)
    found = angular_losses.margin_logits(
        cosines, labels, "arcface", margin=0.5, scale=1.0
    )
    true = math.cos(math.acos(0.5) + 0.5)
    beyond = -0.99 - 0.5 * math.sin(0.5)  # acos(-0.99) + 0.5 is more than π
    np.testing.assert_allclose(found, [[true, -0.2], [0.1, beyond]], rtol=1e-5)
    with pytest.raises(ValueError, match="must be 'cosface' or 'arcface'"):
        angular_losses.margin_logits(cosines, labels, "x", margin=0.0, scale=1.0)


@pytest.mark.parametrize("kind", ["cosface", "arcface"])
def test_without_a_margin_it_is_the_softmax(kind):
    cosines, labels = jnp.array([[0.5, -0.2, 1.0]]), jnp.array([2])
    found = angular_losses.margin_logits(cosines, labels, kind, margin=0.0, scale=3.0)
    np.testing.assert_allclose(found, 3 * cosines, rtol=1e-6)


def test_soft_margin_by_hand():
    """Clips at 0, 1 and 3 on a line; the pair is 1 apart."""
    x = np.array([[0.0], [1.0], [3.0]], np.float32)
    labels = np.array([0, 0, 1])
    hinges = [1 - 3, 1 - 2, 0 - 2]
    expected = np.mean(np.log1p(np.exp(hinges)))
    np.testing.assert_allclose(
        losses.soft_batch_hard_triplet(x, labels), expected, rtol=1e-5
    )
    assert losses.soft_batch_hard_triplet(x, np.zeros(3, int)) == 0


def test_center_by_hand():
    to_centers = np.array([[1.0, 9.0], [4.0, 5.0]], np.float32)
    assert losses.center(to_centers, np.array([0, 1])) == (1 + 5) / 2 / 2


@pytest.mark.parametrize("loss", ["circle", "soft_triplet", "cosface", "arcface"])
def test_gradients_are_finite_where_clips_are_alike(loss):
    labels = jnp.array([0, 0, 1, 1])
    for x in (jnp.zeros((4, 3)), jnp.ones((4, 3)), jnp.eye(4, 3)):

        def value(x):
            if loss == "circle":
                return angular_losses.circle(x, labels)
            if loss == "soft_triplet":
                return losses.soft_batch_hard_triplet(x, labels)
            cosines = angular_losses.unit(x) @ jnp.eye(3)[:, :2]
            return angular_losses.margin_logits(
                cosines, labels, loss, margin=0.5, scale=30.0
            ).sum()

        assert np.isfinite(jax.grad(value)(x)).all()
