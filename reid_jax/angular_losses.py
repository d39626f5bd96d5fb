"""Losses on cosines: circle loss between clips, margins in a classifier's softmax."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from reid_jax.arrays import Array

_EPSILON = 1e-12  # under the root of a length: a zero vector has cosine 0 to all


def unit(x: Float[Array, "N D"]) -> Float[Array, "N D"]:
    """Rows divided by their lengths; the gradient at a zero row is finite."""
    return x * jax.lax.rsqrt(jnp.sum(x * x, axis=1, keepdims=True) + _EPSILON)


def circle(
    embeddings: Float[Array, "B D"],
    labels: Integer[Array, "B"],
    *,
    margin: float | Array = 0.25,
    scale: float | Array = 64.0,
) -> Float[Array, ""]:
    """Circle loss with labels of pairs, the mean over anchors.

    For each anchor, with cosines s_p to its other positives and s_n to its negatives:
    log(1 + Σ exp(γ α_n (s_n - m)) Σ exp(-γ α_p (s_p - 1 + m))), where the weights
    α_p = max(0, 1 + m - s_p) and α_n = max(0, s_n + m) have no gradient. An anchor
    without another positive, or without a negative, adds 0.
    Source: Sun et al. 2020, Eq. 4 to 8, with γ = `scale` and m = `margin`.
    """
    rows = unit(embeddings)
    cosines = jnp.matmul(rows, rows.T, precision=jax.lax.Precision.HIGHEST)
    same = labels[:, None] == labels[None, :]
    positive = same & ~jnp.eye(len(labels), dtype=bool)
    fixed = jax.lax.stop_gradient(cosines)
    toward = -jnp.maximum(1 + margin - fixed, 0) * (cosines - 1 + margin)
    away = jnp.maximum(fixed + margin, 0) * (cosines - margin)

    def log_sum(values, chosen):
        # A sum over nothing would be log 0, whose gradient is nan.
        is_any = chosen.any(axis=1)
        values = jnp.where(chosen | ~is_any[:, None], scale * values, -jnp.inf)
        return jax.nn.logsumexp(values, axis=1), is_any

    positives, has_positive = log_sum(toward, positive)
    negatives, has_negative = log_sum(away, ~same)
    each = jax.nn.softplus(positives + negatives)
    return jnp.mean(jnp.where(has_positive & has_negative, each, 0.0))


def margin_logits(
    cosines: Float[Array, "B N"],
    labels: Integer[Array, "B"],
    kind: str,
    *,
    margin: float | Array,
    scale: float | Array,
) -> Float[Array, "B N"]:
    """Logits of a softmax that asks for a margin from the true class.

    `cosines` are those of embeddings and class weights. The true class has
    s (cos θ - m) with `kind` "cosface" (Wang et al. 2018, Eq. 4), s cos(θ + m) with
    "arcface" (Deng et al. 2019, Eq. 3); every other s cos θ; s = `scale`.
    Differs: beyond θ = π - m, where cos(θ + m) would rise again, "arcface" goes on
    with cos θ - m sin m, as its published code does.
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
