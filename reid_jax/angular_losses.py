"""Losses on cosines: circle loss between clips, margins in a classifier's softmax."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from reid_jax.arrays import Array

_EPSILON = 1e-12  # added to a squared length: a zero vector has cosine 0 to all others


def unit(x: Float[Array, "N D"]) -> Float[Array, "N D"]:
    """Divides each row by its L2 norm; the gradient at a zero row is finite."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=1, keepdims=True) + _EPSILON)


def circle(
    embeddings: Float[Array, "B D"],
    labels: Integer[Array, "B"],
    *,
    margin: float | Array = 0.25,
    scale: float | Array = 64.0,
) -> Float[Array, ""]:
    """Circle loss over all pairs in the batch, averaged over anchors.

    For each anchor, with cosines s_p to its other positives and s_n to its negatives:
    log(1 + Σ exp(γ α_n (s_n - m)) Σ exp(-γ α_p (s_p - 1 + m))), where the weights
    α_p = max(0, 1 + m - s_p) and α_n = max(0, s_n + m) have no gradient. An anchor
    without another positive, or without a negative, adds 0.

    Source: Sun et al. 2020, Eq. 4 to 8, with γ = `scale` and m = `margin`.
    """
    rows = unit(embeddings)
    cosines = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
    has_same_label = labels[:, None] == labels[None, :]
    positive = has_same_label & ~jnp.eye(len(labels), dtype=bool)
    constant = jax.lax.stop_gradient(cosines)
    toward = -jnp.maximum(1 + margin - constant, 0) * (cosines - 1 + margin)
    away = jnp.maximum(constant + margin, 0) * (cosines - margin)

    def log_sum(values, is_chosen):
        # Without this, a row where nothing is chosen gives log 0: its gradient is nan.
        is_any = is_chosen.any(axis=1)
        values = jnp.where(is_chosen | ~is_any[:, None], scale * values, -jnp.inf)
        return jax.nn.logsumexp(values, axis=1), is_any

    positives, has_positive = log_sum(toward, positive)
    negatives, has_negative = log_sum(away, ~has_same_label)
    per_anchor = jax.nn.softplus(positives + negatives)
    return jnp.mean(jnp.where(has_positive & has_negative, per_anchor, 0.0))


def margin_logits(
    cosines: Float[Array, "B N"],
    labels: Integer[Array, "B"],
    kind: str,
    *,
    margin: float | Array,
    scale: float | Array,
) -> Float[Array, "B N"]:
    """Logits that lower the true class by a margin, as input of a softmax.

    With s = `scale` and m = `margin`, the true class has the logit
    - s (cos θ - m) for "cosface" (Wang et al. 2018, Eq. 4),
    - s cos(θ + m) for "arcface" (Deng et al. 2019, Eq. 3);
    every other class has s cos θ.
    Differs: beyond θ = π - m, where cos(θ + m) would rise again, "arcface" goes on
    with cos θ - m sin m, as its published code does.

    Args:
        cosines: cosine of each embedding and each class weight, in [-1, 1].
        labels: true class of each row, in 0..N-1.
        kind: "cosface" or "arcface".
        margin: in units of the cosine for "cosface", in radians for "arcface".
        scale: factor on all logits.
    """
    if kind == "cosface":
        true = cosines - margin
    elif kind == "arcface":
        # The floor keeps the root's gradient finite at θ = 0 and π.
        sines = jnp.sqrt(jnp.maximum(1 - cosines * cosines, _EPSILON))
        true = cosines * jnp.cos(margin) - sines * jnp.sin(margin)
        is_beyond = cosines < -jnp.cos(margin)
        true = jnp.where(is_beyond, cosines - margin * jnp.sin(margin), true)
    else:
        raise ValueError(f"kind={kind!r} must be 'cosface' or 'arcface'.")
    is_true = labels[:, None] == jnp.arange(cosines.shape[1])
    return scale * jnp.where(is_true, true, cosines)
