"""Cross-view quadratic discriminant analysis (Liao et al. 2015, arXiv:1406.4216)."""

import dataclasses
import functools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Integer

from reid_jax.arrays import Array
from reid_jax.retrieval import linear_algebra, mahalanobis

_SMALL_STEP = 1e-12  # squared: beyond it, `_singular` computes an SVD


@dataclasses.dataclass(frozen=True)
class XQDA:
    """A subspace and the metric in it, in float64.

    - `projection` [D, r]: W; only W M Wᵀ is determined, not the signs of its columns.
    - `metric` [r, r]: M = (Wᵀ S_I W)⁻¹ - (Wᵀ S_E W)⁻¹, not always positive
      semi-definite.
    - `eigenvalues` [r]: of the columns of W, largest first. Each is the ratio of the
      variance of pairs of different persons to that of pairs of the same person.
    """

    projection: np.ndarray
    metric: np.ndarray
    eigenvalues: np.ndarray


def fit(
    x: Float[Array, "N _"],
    x_labels: Integer[Array, "_"],
    y: Float[Array, "K _"],
    y_labels: Integer[Array, "_"],
    *,
    regularizer: float | int = 1e-3,
    dim: int | None = None,
    solver: str = "svd",
) -> XQDA:
    """Learns a metric from all pairs of a row of `x` and a row of `y`, the two views.

    Exchanging the views changes nothing.

    Args:
        x: the embeddings of the first view.
        x_labels: their persons.
        y: the embeddings of the second view.
        y_labels: their persons.
        regularizer: added to the diagonal of the covariance of pairs of the same
            person.
        dim: maximum dimension of the subspace. The dimension is the number of
            eigenvalues above 1, but at least 1.
        solver: "svd", as in the authors' code, or "eigen", as in the paper. They give
            different subspaces.

    Raises:
        ValueError: labels that do not fit, values that are not finite, an empty side,
            no pair of the same person or none of different persons, or a setting out of
            range.

    Differs: the published code uses left singular vectors and singular values of
    S_I⁻¹ S_E, which is not symmetric, in place of eigenvectors and eigenvalues of the
    paper's problem. The published numbers come from the code, so "svd" is the default.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x_labels, y_labels = np.asarray(x_labels), np.asarray(y_labels)
    _check(x, x_labels, y, y_labels, regularizer, dim, solver)
    persons, codes = np.unique(
        np.concatenate([x_labels, y_labels]), return_inverse=True
    )
    codes = codes[: len(x)], codes[len(x) :]
    counts = (np.bincount(view_codes, minlength=len(persons)) for view_codes in codes)
    with linear_algebra.float64():
        basis = None
        if x.shape[1] > len(x) + len(y):
            # With fewer samples than dimensions, S_I and S_E vanish outside the span of
            # the samples. stackᵀ = basis · coordinates; solve in that basis.
            basis, coordinates = jnp.linalg.qr(np.concatenate([x, y]).T)
            x, y = np.split(np.asarray(coordinates).T, [len(x)])
        max_dim = x.shape[1] if dim is None else dim
        solution = _solve(x, y, *codes, *counts, float(regularizer), max_dim, solver)
        if not solution.is_invertible:
            raise ValueError(
                f"regularizer={regularizer} is too small: the covariance of the pairs "
                "of the same person is singular."
            )
        num = int(_num_kept(solution.values, max_dim))
        return XQDA(*map(np.asarray, _metric(solution, basis, num)))


def distances(
    model: XQDA, query: Float[Array, "Q _"], gallery: Float[Array, "G _"]
) -> Float[np.ndarray, "Q G"]:
    """Computes squared distances in float64; some may be negative."""
    return mahalanobis.distances(query, gallery, model.projection, model.metric)


class _Directions(NamedTuple):
    """Directions [D, D], their values [D], largest first, and the two covariances."""

    directions: jax.Array
    values: jax.Array
    intra: jax.Array
    extra: jax.Array
    is_invertible: jax.Array


@functools.partial(jax.jit, static_argnames="solver")
def _solve(
    x, y, x_codes, y_codes, n_k, m_k, regularizer, max_dim, solver: str
) -> _Directions:
    intra, extra = _covariances(x, y, x_codes, y_codes, n_k, m_k)
    intra += regularizer * jnp.eye(len(intra))
    directions, values = _SOLVERS[solver](intra, extra, max_dim)
    is_invertible = _is_invertible(intra, regularizer)
    return _Directions(directions, values, intra, extra, is_invertible)


def _num_kept(values, max_dim):
    """Counts the eigenvalues above 1; returns at least 1 and at most `max_dim`."""
    return jnp.clip(jnp.sum(values > 1), 1, max_dim)


@functools.partial(jax.jit, static_argnames="num")
def _metric(solution: _Directions, basis, num: int):
    """Returns the fields of an XQDA of the first `num` directions."""
    w = solution.directions[:, :num]
    # Sec. 4.2: M = S'_I⁻¹ - S'_E⁻¹, with S' = Wᵀ S W.
    inverses = (
        linear_algebra.inverse(w.T @ s @ w) for s in (solution.intra, solution.extra)
    )
    metric = operator.sub(*inverses)
    w = w if basis is None else basis @ w
    return w, (metric + metric.T) / 2, solution.values[:num]


def _covariances(x, y, x_codes, y_codes, n_k, m_k):
    """Computes the mean of (x_i - y_j)ᵀ(x_i - y_j) over same and over different pairs.

    Liao et al. 2015, Sec. 4.3. With n_k and m_k rows of person k in x and y, s_k and
    r_k their sums, the sum over the pairs of the same person is
        Σ_k [ m_k Σ_i x_iᵀx_i + n_k Σ_j y_jᵀy_j - s_kᵀr_k - r_kᵀs_k ]
    and over all pairs
        m Σ_i x_iᵀx_i + n Σ_j y_jᵀy_j - sᵀr - rᵀs,
    so no pair has to be formed. Both Gram matrices are weighted. `x_codes` [n] and
    `y_codes` [m] are the persons k of the rows.
    """
    n, m = len(x), len(y)
    # A common shift changes no difference, but centring keeps the terms that are
    # subtracted small.
    centre = (x.sum(axis=0) + y.sum(axis=0)) / (n + m)
    x, y = x - centre, y - centre
    rows = jnp.concatenate([x, y])
    s_k, r_k = (
        jax.ops.segment_sum(part, person, len(n_k))
        for part, person in ((x, x_codes), (y, y_codes))
    )
    total = linear_algebra.gram(rows, np.repeat([m, n], [n, m]))
    total -= _with_transpose(jnp.outer(s_k.sum(axis=0), r_k.sum(axis=0)))
    intra = linear_algebra.gram(rows, jnp.concatenate([m_k[x_codes], n_k[y_codes]]))
    intra -= _with_transpose(s_k.T @ r_k)
    num_intra = n_k @ m_k
    return intra / num_intra, (total - intra) / (n * m - num_intra)


def _with_transpose(matrix):
    return matrix + matrix.T


def _singular(intra, extra, max_dim):
    """Returns the left singular vectors and the singular values of A = S_I⁻¹ S_E.

    The vectors U are computed as the eigenvectors of A Aᵀ, in half the time of an SVD.
    Squaring loses digits, so that kept and dropped directions mix. With B = Uᵀ A,
    accurate row by row, and G = B Bᵀ, a Newton step separates them again: u_i gets the
    share G_ji / (G_ii - G_jj) of each dropped u_j. The remaining error is the square of
    the step. If the step is not small, or the number of values above 1 is not sure, an
    SVD is computed.
    """
    factor = jax.scipy.linalg.cho_factor(intra)
    a = jax.scipy.linalg.cho_solve(factor, extra)
    u = jnp.linalg.eigh(linear_algebra.gram(a.T))[1][:, ::-1]
    b = u.T @ a
    products = linear_algebra.gram(b.T)
    squares = jnp.diagonal(products)
    values = jnp.sqrt(squares)
    is_kept = jnp.arange(len(a)) < _num_kept(values, max_dim)
    between = is_kept[None] & ~is_kept[:, None]
    step = jnp.where(between, products / (squares[None] - squares[:, None]), 0)
    return jax.lax.cond(
        (jnp.sum(step**2) < _SMALL_STEP) & _is_count_sure(products, values),
        lambda: (u + u @ step, jnp.sort(values, descending=True)),
        lambda: jnp.linalg.svd(a)[:2],
    )


def _is_count_sure(products, values):
    """Whether G has as many eigenvalues above 1 as its diagonal, the squared `values`.

    By Sylvester's law, G - I may be scaled on both sides: here so that large values do
    not count more. By Weyl's inequality, no eigenvalue changes its sign if the rest is
    smaller than every entry of the diagonal.
    """
    scale = jnp.maximum(values, 1)
    scaled = (products - jnp.eye(len(scale))) / (scale * scale[:, None])
    rest = jnp.fill_diagonal(scaled, 0, inplace=False)
    return jnp.sum(rest**2) < jnp.min(jnp.diagonal(scaled) ** 2)


def _generalised(intra, extra, _):
    """Solves S_E w = λ S_I w; returns w and λ, largest λ first (Sec. 4.2).

    They maximise the ratio wᵀ S_E w / wᵀ S_I w. With S_I = L Lᵀ and v = Lᵀ w, this is
    the symmetric problem L⁻¹ S_E L⁻ᵀ v = λ v.
    """
    lower = jnp.linalg.cholesky(intra)
    solve = functools.partial(jax.scipy.linalg.solve_triangular, lower, lower=True)
    values, v = jnp.linalg.eigh(solve(solve(extra).T))
    return solve(v[:, ::-1], trans="T"), values[::-1]


_SOLVERS = {"svd": _singular, "eigen": _generalised}


def _is_invertible(intra, regularizer):
    relative = len(intra) * jnp.finfo(intra.dtype).eps

    def by_eigenvalues():
        values = jnp.linalg.eigvalsh(intra)
        return values[0] > relative * values[-1]

    # The covariance without the regularizer has no negative eigenvalue, so this
    # cheap test usually decides.
    is_clear = regularizer > relative * jnp.trace(intra)
    return jax.lax.cond(is_clear, lambda: True, by_eigenvalues)


def _check(x, x_labels, y, y_labels, regularizer, dim, solver: str) -> None:
    if solver not in _SOLVERS:
        raise ValueError(f"solver={solver!r} is unknown; known: {', '.join(_SOLVERS)}.")
    for name, rows, labels in (("x", x, x_labels), ("y", y, y_labels)):
        mahalanobis.check_rows(name, rows)
        if len(labels) != len(rows):
            raise ValueError(
                f"{name} has {len(rows)} embeddings, but there are {len(labels)} "
                f"{name}_labels."
            )
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"x has {x.shape[1]} dimensions, y {y.shape[1]}.")
    if (x == x[0]).all() and (y == x[0]).all():
        raise ValueError("All embeddings are the same: there is nothing to learn from.")
    if not 0 <= regularizer < np.inf:
        raise ValueError(f"regularizer={regularizer} must be at least 0.")
    if dim is not None and not 1 <= dim <= x.shape[1]:
        raise ValueError(f"dim={dim} must be from 1 to {x.shape[1]}.")
    if len(np.union1d(x_labels, y_labels)) == 1:
        raise ValueError(
            f"x and y hold one person only ({x_labels[0]}): there is no pair of "
            "different persons to learn from."
        )
    if not np.isin(x_labels, y_labels).any():
        raise ValueError(
            "No person is in both x and y: there is no pair of the same person to "
            "learn from."
        )
