"""KISSME after a PCA (Koestinger et al. 2012, "Large scale metric learning from
equivalence constraints", CVPR)."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Integer

from reid_jax.arrays import Array
from reid_jax.retrieval import linear_algebra, mahalanobis

METRICS = ("kissme", "mahalanobis", "euclidean")
# The published code replaces eigenvalues of the metric up to the first by the second.
_SMALLEST = 1e-10
_REPLACED_BY = 1e-6


@dataclasses.dataclass(frozen=True)
class KISSME:
    """A PCA and a positive definite metric in its space, in float64.

    - `mean` [D], `projection` [D, r]: the PCA.
    - `metric` [r, r]: M.
    - `num_clipped`: number of non-positive eigenvalues of M that were replaced.
    """

    mean: np.ndarray
    projection: np.ndarray
    metric: np.ndarray
    num_clipped: int


def fit(
    features: Float[Array, "N D"],
    first: Integer[Array, "_"],
    second: Integer[Array, "_"],
    is_same: Bool[Array, "_"],
    *,
    dim: int,
    pair_step: int = 1,
    metric: str = "kissme",
) -> KISSME:
    """Learns a metric from pairs of rows of `features`.

    Args:
        features: the training embeddings.
        first: the first row of each pair.
        second: the second row of each pair.
        is_same: whether the two rows of each pair show the same person.
        dim: number of directions of largest variance that the PCA keeps.
        pair_step: every `pair_step`-th pair is used (MARS's script: every tenth).
        metric: "kissme", or a baseline of the published code: "mahalanobis" (pairs of
            the same person only) or "euclidean" (the PCA alone).

    Raises:
        ValueError: pairs that do not fit the features, values that are not finite, no
            pair of the same person or none of different persons, or a setting out of
            range.
    """
    features = np.asarray(features, np.float64)
    first, second, is_same = (np.asarray(a) for a in (first, second, is_same))
    _check(features, first, second, is_same, dim, pair_step, metric)
    used = slice(None, None, pair_step)
    first, second, is_same = first[used], second[used], is_same[used]
    with linear_algebra.float64():
        mean, projection, rows = _principal(features, dim)
        if metric == "euclidean":
            return KISSME(np.asarray(mean), np.asarray(projection), np.eye(dim), 0)
        inverses = []
        for is_same_pair in (True, False)[: 1 if metric == "mahalanobis" else 2]:
            pairs = first[is_same == is_same_pair], second[is_same == is_same_pair]
            if not len(pairs[0]):
                raise ValueError(
                    f"None of the {len(first)} pairs used is of "
                    f"{'the same person' if is_same_pair else 'different persons'}."
                )
            inverse, is_singular = _inverse_covariance(rows, *pairs)
            if is_singular:
                raise ValueError(
                    f"dim={dim} is too large for these pairs: their covariance is "
                    "singular. Use fewer dimensions or more pairs."
                )
            inverses.append(inverse)
        # Sec. 3: let the difference d have a normal distribution, with covariance Σ_1
        # for the same person and Σ_0 for different persons. The log-likelihood ratio
        # is d M dᵀ, up to a factor and a constant, with M = Σ_1⁻¹ - Σ_0⁻¹. M is then
        # made positive definite.
        learnt_metric, num = (
            (inverse, 0) if len(inverses) == 1 else _positive(*inverses)
        )
        return KISSME(*map(np.asarray, (mean, projection, learnt_metric)), int(num))


def distances(
    model: KISSME, query: Float[Array, "Q _"], gallery: Float[Array, "G _"]
) -> Float[np.ndarray, "Q G"]:
    """Computes squared distances in float64."""
    return mahalanobis.distances(query, gallery, model.projection, model.metric)


@functools.partial(jax.jit, static_argnames="dim")
def _principal(features, dim: int):
    """Returns the mean, the `dim` directions of most variance, and projected rows."""
    mean = features.mean(axis=0)
    centred = features - mean
    _, directions = jnp.linalg.eigh(linear_algebra.gram(centred))
    projection = directions[:, ::-1][:, :dim]
    return mean, projection, centred @ projection


@jax.jit
def _inverse_covariance(rows, first, second):
    """Returns Σ⁻¹ of the differences of the pairs, and whether Σ is singular.

    Sec. 3: Σ_y = 1/n Σ (x_i - x_j)ᵀ(x_i - x_j), for pairs of the same person (y = 1)
    or of different persons (y = 0). The differences are assumed to have mean 0.
    """
    covariance = linear_algebra.gram(rows[first] - rows[second]) / len(first)
    values, vectors = jnp.linalg.eigh(covariance)
    is_singular = values[0] <= len(values) * jnp.finfo(values.dtype).eps * values[-1]
    return vectors / values @ vectors.T, is_singular


@jax.jit
def _positive(same_inverse, different_inverse):
    """Returns the positive definite metric, and the number of replaced eigenvalues."""
    values, vectors = jnp.linalg.eigh(same_inverse - different_inverse)
    is_bad = values <= _SMALLEST
    values = jnp.where(is_bad, _REPLACED_BY, values)
    return vectors * values @ vectors.T, is_bad.sum()


def _check(features, first, second, is_same, dim, pair_step, metric: str) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric={metric!r} is unknown; known: {', '.join(METRICS)}.")
    mahalanobis.check_rows("training", features)
    num, num_dims = features.shape
    if not len(first) == len(second) == len(is_same):
        raise ValueError(
            f"A pair has an entry in each of first ({len(first)}), second "
            f"({len(second)}) and is_same ({len(is_same)})."
        )
    for name, index in (("first", first), ("second", second)):
        outside = index[(index < 0) | (index >= num)]
        if len(outside):
            raise ValueError(
                f"{name} holds {outside[0]}; the {num} features have 0 to {num - 1}."
            )
    if not 1 <= dim <= num_dims:
        raise ValueError(f"dim={dim} must be from 1 to {num_dims}.")
    if pair_step < 1:
        raise ValueError(f"pair_step={pair_step} must be at least 1.")
