"""Training losses: those of paper 1 (Sec. 3.2), alternatives, and health metrics."""

import jax
import jax.numpy as jnp
from jaxtyping import Float, Integer

from reid_jax import angular_losses
from reid_jax.arrays import Array

METRIC_LOSSES = ("triplet", "soft_triplet", "circle")
"""Losses on embeddings that pull clips of one person together: `config.loss.metric`."""

CLASSIFIER_LOSSES = ("softmax", "cosface", "arcface")
"""Losses on the classifier's logits: `config.loss.classifier`."""


def hardest_pairs(
    embeddings: Float[Array, "B D"], labels: Integer[Array, "..."]
) -> tuple[Float[Array, "B"], Float[Array, "B"]]:
    """Returns each clip's L2 distance to its farthest positive and nearest negative.

    Every clip is an anchor once. A clip whose label occurs only once is its own
    positive, at distance 0. When all labels are equal, the nearest negative is
    infinitely far.
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

    A clip whose label occurs only once is its own hardest positive (distance 0). With
    a single label in the batch the loss is 0.

    Args:
        embeddings: one row per clip.
        labels: label of each clip, [B].
        margin: in the units of the L2 distance.
        reduction: "mean" over all anchors, those with a zero hinge included (the
            published code), or "sum" (Eq. 4).

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

    p and n are the distances of `hardest_pairs`. The loss is never 0, so pairs are
    pulled together or pushed apart further, beyond any margin. Only with a single label
    in the batch is it 0.

    Source: Hermans et al. 2017, Sec. 2.
    """
    positive, negative = hardest_pairs(embeddings, labels)
    return jnp.mean(jax.nn.softplus(positive - negative))


def center(
    to_centers: Float[Array, "B N"], labels: Integer[Array, "..."]
) -> Float[Array, ""]:
    """Center loss: half the squared L2 distance to the true class's centre, batch mean.

    Args:
        to_centers: squared L2 distance of each clip to the centre of each class.
        labels: class of each clip, [B], in 0..N-1.

    Source: Wen et al. 2016, Eq. 2.
    Differs: the mean over the batch, where the paper has the sum; and the optimizer
    moves the centres as parameters, where the paper has an update rule (Eq. 4).
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

    `labels` are in 0..N-1.

    Source: Gao & Nevatia 2018, Sec. 3.2, Eq. 5 (s = 0).
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
    """Weighted sum of the losses, and a dictionary of the batch's metrics.

    Args:
        embeddings: one row per clip.
        logits: one row per clip; cosines for "cosface" and "arcface".
        labels: label of each clip, [B], in 0..N-1.
        margin: of the "triplet" loss.
        label_smoothing: of the cross-entropy.
        triplet_reduction: `reduction` of `batch_hard_triplet`.
        triplet_weight: weight of the loss that `metric` names.
        cross_entropy_weight: weight of the loss that `classifier` names.
        metric: one of METRIC_LOSSES.
        circle_margin: of the "circle" loss, as is `circle_scale`.
        classifier: one of CLASSIFIER_LOSSES.
        cosine_margin: of "cosface" and "arcface", as is `cosine_scale`.
        to_centers: squared L2 distances for the center loss; None without it.
        center_weight: weight of the center loss.

    Returns:
        The loss, and the metrics: "loss", each part of it before weighting, and those
        of `batch_health`.

    Source: Gao & Nevatia 2018, Sec. 3.2, Eq. 6; with `triplet_weight` 0 Kansal &
    Subramanyam 2018, Sec. II-D, Eq. 2.
    """
    match metric:
        case "triplet":
            metric_loss = batch_hard_triplet(
                embeddings, labels, margin, reduction=triplet_reduction
            )
        case "soft_triplet":
            metric_loss = soft_batch_hard_triplet(embeddings, labels)
        case "circle":
            metric_loss = angular_losses.circle(
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
    loss = triplet_weight * metric_loss + cross_entropy_weight * cross_entropy
    metrics = {"loss": loss, metric: metric_loss, "cross_entropy": cross_entropy}
    if to_centers is not None:
        metrics["center"] = center(to_centers, labels)
        metrics["loss"] = loss = loss + center_weight * metrics["center"]
    return loss, metrics | batch_health(embeddings, labels, margin)


def batch_health(
    embeddings: Float[Array, "B D"],
    labels: Integer[Array, "..."],
    margin: float | Array,
) -> dict[str, Float[Array, ""]]:
    """Two fractions in [0, 1] that tell how much the network can learn from the batch.

    - `active_triplets`: share of anchors whose hinge is above zero.
    - `precision_at_1`: share of anchors whose nearest other clip has the same label.
    """
    embeddings, labels = _checked(embeddings, labels)
    distances = _pairwise_l2(embeddings)
    positive, negative = _hardest(distances, labels)
    to_other_clips = jnp.where(jnp.eye(len(labels), dtype=bool), jnp.inf, distances)
    nearest_label = labels[jnp.argmin(to_other_clips, axis=1)]
    return {
        "active_triplets": jnp.mean(margin + positive - negative > 0),
        "precision_at_1": jnp.mean(nearest_label == labels),
    }


def _checked(rows, labels) -> tuple[jax.Array, jax.Array]:
    """Converts rows to at least float32; ValueError unless there is a label per row."""
    rows, labels = jnp.asarray(rows), jnp.asarray(labels)
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        raise ValueError(
            f"{rows.shape} embeddings or logits and {labels.shape} labels do not fit: "
            "[B, D] and [B] are needed."
        )
    return rows.astype(jnp.promote_types(rows.dtype, jnp.float32)), labels


def _hardest(distances: Float[Array, "B B"], labels: Integer[Array, "B"]):
    is_positive = labels[:, None] == labels[None, :]
    positive = jnp.max(jnp.where(is_positive, distances, 0.0), axis=1)
    negative = jnp.min(jnp.where(is_positive, jnp.inf, distances), axis=1)
    return positive, negative


def _pairwise_l2(x: Float[Array, "B D"]) -> Float[Array, "B B"]:
    # An offset shared by all rows (as when a network collapses) would cancel digits of
    # |x|² + |y|² - 2 x·y. No distance depends on it, so no gradient does either. The
    # median instead of the mean keeps whole numbers whole, and equal distances equal.
    x = x - jnp.sort(jax.lax.stop_gradient(x), axis=0)[len(x) // 2]
    product = jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST)
    norms = jnp.diagonal(product)
    squared = norms[:, None] + norms[None, :] - 2 * product
    # The floor keeps the root's gradient finite at zero; the published code has the
    # same one. Two identical clips are 1e-6 apart, with a zero gradient.
    return jnp.sqrt(jnp.maximum(squared, 1e-12))
