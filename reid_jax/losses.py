"""The two losses of paper 1, Sec. 3.2, others in their place, a batch's health."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from reid_jax import angular_losses
from reid_jax.arrays import Array

METRIC_LOSSES = ("triplet", "soft_triplet", "circle")
"""What pulls clips of one person together: `config.loss.metric`."""

CLASSIFIER_LOSSES = ("softmax", "cosface", "arcface")
"""What the classifier learns by: `config.loss.classifier`."""


def hardest_pairs(
    embeddings: Float[Array, "B D"], labels: Integer[Array, "..."]
) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """L2 distance of every anchor to its farthest positive and its nearest negative.

    A label that occurs once is its own positive; where all labels are equal the
    nearest negative is infinitely far.
    """
    embeddings, labels = _checked(embeddings, labels)
    return _hardest(_pairwise_l2(embeddings), labels)


def batch_hard_triplet(
    embeddings: Float[Array, "B D"],
    labels: Integer[Array, "..."],
    margin: float | Array = 0.3,
    *,
    reduction: str = "mean",
) -> Float[Array, ""]:
    """Batch-hard triplet loss: hardest positive against hardest negative in the batch.

    `margin` is in the units of the L2 distance. A label that occurs once is its own
    hardest positive (distance 0). With a single label in the batch the loss is 0.
    `reduction` is "mean" over anchors, zero hinges included (the published code), or
    "sum" (Eq. 4).
    Source: Gao & Nevatia 2018, Sec. 3.2, Eq. 4, after Hermans et al. 2017.
    """
    if reduction not in ("mean", "sum"):
        raise ValueError(f"reduction={reduction!r} must be 'mean' or 'sum'.")
    positive, negative = hardest_pairs(embeddings, labels)
    hinges = jnp.maximum(margin + positive - negative, 0.0)
    return hinges.mean() if reduction == "mean" else hinges.sum()


def soft_batch_hard_triplet(
    embeddings: Float[Array, "B D"], labels: Integer[Array, "..."]
) -> Float[Array, ""]:
    """Batch-hard triplet loss with a soft margin: the mean of log(1 + exp(p - n)).

    p and n are the distances of `hardest_pairs`; the loss never is 0, so that pairs
    are pulled on beyond a margin. With a single label in the batch it is 0.
    Source: Hermans et al. 2017, Sec. 2.
    """
    positive, negative = hardest_pairs(embeddings, labels)
    return jnp.mean(jax.nn.softplus(positive - negative))


def center(
    to_centers: Float[Array, "B N"], labels: Integer[Array, "..."]
) -> Float[Array, ""]:
    """Center loss: the mean of half the squared L2 distance to the own class's centre.

    `to_centers` are the squared distances of each clip to the centres of all classes.
    Source: Wen et al. 2016, Eq. 2.
    Differs: the mean over the batch, where the paper has the sum; and the centres are
    parameters that the optimizer moves, where the paper has a rule for them (Eq. 4).
    """
    to_centers, labels = _checked(to_centers, labels)
    return jnp.take_along_axis(to_centers, labels[:, None], axis=1).mean() / 2


def softmax_cross_entropy(
    logits: Float[Array, "B N"],
    labels: Integer[Array, "..."],
    *,
    label_smoothing: float | Array = 0.0,
) -> Float[Array, ""]:
    """Mean cross-entropy against `(1 - s) onehot + s / N`, s = `label_smoothing`.

    `labels` are in 0..N-1. Source: Gao & Nevatia 2018, Sec. 3.2, Eq. 5 (s = 0).
    Differs: the published code, and so the tables, use s = 0.1.
    """
    logits, labels = _checked(logits, labels)
    log_q = jax.nn.log_softmax(logits)
    true_class = jnp.take_along_axis(log_q, labels[:, None], axis=1)[:, 0]
    uniform = log_q.mean(axis=1)
    s = label_smoothing
    return -jnp.mean((1 - s) * true_class + s * uniform)


def total_loss(
    embeddings: Float[Array, "B D"],
    logits: Float[Array, "B N"],
    labels: Integer[Array, "..."],
    *,
    margin: float | Array,
    label_smoothing: float | Array,
    triplet_reduction: str,
    triplet_weight: float | Array,
    cross_entropy_weight: float | Array,
    metric: str = "triplet",
    circle_margin: float | Array = 0.25,
    circle_scale: float | Array = 64.0,
    classifier: str = "softmax",
    cosine_margin: float | Array = 0.35,
    cosine_scale: float | Array = 30.0,
    to_centers: Float[Array, "B N"] | None = None,
    center_weight: float | Array = 0.0,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """Weighted sum of the losses, and a batch's metrics: it, its parts, its health.

    `metric` of METRIC_LOSSES is weighed by `triplet_weight`, `classifier` of
    CLASSIFIER_LOSSES by `cross_entropy_weight`; with a margin, `logits` are cosines.
    Source: Gao & Nevatia 2018, Sec. 3.2, Eq. 6; with `triplet_weight` 0 Kansal &
    Subramanyam 2018, Sec. II-D, Eq. 2.
    """
    match metric:
        case "triplet":
            pulled = batch_hard_triplet(
                embeddings, labels, margin, reduction=triplet_reduction
            )
        case "soft_triplet":
            pulled = soft_batch_hard_triplet(embeddings, labels)
        case "circle":
            pulled = angular_losses.circle(
                *_checked(embeddings, labels), margin=circle_margin, scale=circle_scale
            )
        case _:
            raise ValueError(f"metric={metric!r} is not in {METRIC_LOSSES}.")
    if classifier != "softmax":
        logits = angular_losses.margin_logits(
            *_checked(logits, labels),
            classifier,
            margin=cosine_margin,
            scale=cosine_scale,
        )
    cross_entropy = softmax_cross_entropy(
        logits, labels, label_smoothing=label_smoothing
    )
    loss = triplet_weight * pulled + cross_entropy_weight * cross_entropy
    metrics = {"loss": loss, metric: pulled, "cross_entropy": cross_entropy}
    if to_centers is not None:
        metrics["center"] = center(to_centers, labels)
        metrics["loss"] = loss = loss + center_weight * metrics["center"]
    return loss, metrics | batch_health(embeddings, labels, margin)


def batch_health(
    embeddings: Float[Array, "B D"],
    labels: Integer[Array, "..."],
    margin: float | Array,
) -> dict[str, Float[Array, ""]]:
    """How much the batch still teaches, both in [0, 1].

    - `active_triplets`: share of anchors whose hinge is above zero.
    - `precision_at_1`: share of anchors whose nearest other clip is of their identity.
    """
    embeddings, labels = _checked(embeddings, labels)
    distances = _pairwise_l2(embeddings)
    positive, negative = _hardest(distances, labels)
    others = jnp.where(jnp.eye(len(labels), dtype=bool), jnp.inf, distances)
    nearest = labels[jnp.argmin(others, axis=1)]
    return {
        "active_triplets": jnp.mean(margin + positive - negative > 0),
        "precision_at_1": jnp.mean(nearest == labels),
    }


def _checked(rows, labels) -> tuple[jax.Array, jax.Array]:
    """Arrays in at least float32, one label a row."""
    rows, labels = jnp.asarray(rows), jnp.asarray(labels)
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        raise ValueError(
            f"{rows.shape} embeddings or logits and {labels.shape} labels do not fit: "
            "[B, D] and [B] are needed."
        )
    return rows.astype(jnp.promote_types(rows.dtype, jnp.float32)), labels


def _hardest(distances: Float[Array, "B B"], labels: Integer[Array, "B"]):
    same = labels[:, None] == labels[None, :]
    positive = jnp.max(jnp.where(same, distances, 0.0), axis=1)
    negative = jnp.min(jnp.where(same, jnp.inf, distances), axis=1)
    return positive, negative


def _pairwise_l2(x: Float[Array, "B D"]) -> Float[Array, "B B"]:
    # An offset that all rows share (a collapsing network has one) would cost the digits
    # of |x|² + |y|² - 2 x·y. No distance depends on it, so neither does a gradient. A
    # median and no mean: whole numbers stay whole, and equal distances equal.
    x = x - jnp.sort(jax.lax.stop_gradient(x), axis=0)[len(x) // 2]
    product = jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST)
    norms = jnp.diagonal(product)
    squared = norms[:, None] + norms[None, :] - 2 * product
    # The floor is for the gradient of the root at zero, and is the published code's:
    # two identical clips are 1e-6 apart, with a zero gradient.
    return jnp.sqrt(jnp.maximum(squared, 1e-12))
