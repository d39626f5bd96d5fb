"""Cross-view quadratic discriminant analysis (Liao et al. 2015, arXiv:1406.4216)."""

import dataclasses

import numpy as np
import scipy.sparse
from jaxtyping import Float, Integer

from reid_jax.arrays import Array
from reid_jax.retrieval import mahalanobis


@dataclasses.dataclass(frozen=True)
class XQDA:
    """A subspace and the metric in it, float64.

    - `projection` [D, r]: W; only W M Wᵀ is determined, not the signs of its columns.
    - `metric` [r, r]: M = (Wᵀ S_I W)⁻¹ - (Wᵀ S_E W)⁻¹, not always positive
      semi-definite.
    - `eigenvalues` [r]: of the columns, largest first: how much more pairs of different
      persons vary along them than pairs of the same person.
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
    """Metric from all pairs of a row of `x` and a row of `y`, the two views.

    Exchanging the views changes nothing. `regularizer` is added to the diagonal of the
    covariance of pairs of the same person. The subspace has as many dimensions as there
    are eigenvalues above 1, at least one, and at most `dim`. `solver` is "svd", as the
    authors' code, or "eigen", as the paper: two different subspaces.
    Raises ValueError for labels that do not fit, values that are not finite, an empty
    side, no pair of the same or none of different persons, and settings out of range.

    Differs: the published code takes left singular vectors and singular values of
    S_I⁻¹ S_E, which is not symmetric, in place of eigenvectors and eigenvalues of the
    paper's problem. Published numbers come from the code, so it is the default.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    x_labels, y_labels = np.asarray(x_labels), np.asarray(y_labels)
    _check(x, x_labels, y, y_labels, regularizer, dim, solver)
    basis = None
    if x.shape[1] > len(x) + len(y):
        # With fewer samples than dimensions, S_I and S_E vanish outside the span of the
        # samples. stackᵀ = basis · coordinates: the problem in the basis of that span.
        basis, coordinates = np.linalg.qr(np.concatenate([x, y]).T)
        x, y = coordinates[:, : len(x)].T, coordinates[:, len(x) :].T
    intra, extra = _covariances(x, x_labels, y, y_labels)
    intra[np.diag_indices_from(intra)] += regularizer
    _check_invertible(intra, regularizer)
    directions, values = _SOLVERS[solver](intra, extra)
    num = max(1, int((values > 1).sum()))
    num = num if dim is None else min(dim, num)
    w = directions[:, :num]
    # Sec. 4.2: M = S'_I⁻¹ - S'_E⁻¹, with S' = Wᵀ S W.
    metric = np.linalg.inv(w.T @ intra @ w) - np.linalg.inv(w.T @ extra @ w)
    return XQDA(
        w if basis is None else basis @ w, (metric + metric.T) / 2, values[:num]
    )


def distances(
    model: XQDA, query: Float[Array, "Q _"], gallery: Float[Array, "G _"]
) -> Float[np.ndarray, "Q G"]:
    """Distances in float64; some may be below 0."""
    return mahalanobis.distances(query, gallery, model.projection, model.metric)


def _covariances(x, x_labels, y, y_labels):
    """Mean of (x_i - y_j)ᵀ(x_i - y_j) over pairs of one person, and of different ones.

    Liao et al. 2015, Sec. 4.3. With n_k and m_k rows of person k in x and y, s_k and
    r_k their sums, the sum over the pairs of the same person is
        Σ_k [ m_k Σ_i x_iᵀx_i + n_k Σ_j y_jᵀy_j - s_kᵀr_k - r_kᵀs_k ]
    and over all pairs
        m Σ_i x_iᵀx_i + n Σ_j y_jᵀy_j - sᵀr - rᵀs,
    so that no pair is ever formed. Both Gram matrices are weighted: one product of the
    stacked rows with their square roots each.
    """
    n, m = len(x), len(y)
    # Differences do not see a common shift, the two sides of a minus do.
    centre = (x.sum(axis=0) + y.sum(axis=0)) / (n + m)
    rows = np.concatenate([x, y])
    rows -= centre
    persons, codes = np.unique(
        np.concatenate([x_labels, y_labels]), return_inverse=True
    )
    x_codes, y_codes = codes[:n], codes[n:]
    n_k = np.bincount(x_codes, minlength=len(persons))
    m_k = np.bincount(y_codes, minlength=len(persons))
    num_intra = int(n_k @ m_k)
    s_k, r_k = (
        _class_sums(part, of, len(persons))
        for part, of in ((rows[:n], x_codes), (rows[n:], y_codes))
    )
    total = _gram(rows, np.repeat([m, n], [n, m]))
    total -= _with_transpose(np.outer(s_k.sum(axis=0), r_k.sum(axis=0)))
    intra = _gram(rows, np.concatenate([m_k[x_codes], n_k[y_codes]]))
    intra -= _with_transpose(s_k.T @ r_k)
    total -= intra
    return intra / num_intra, total / (n * m - num_intra)


def _class_sums(rows, codes, num: int) -> Float[np.ndarray, "N D"]:
    ones = (np.ones(len(rows)), (codes, np.arange(len(rows))))
    return scipy.sparse.csr_array(ones, shape=(num, len(rows))) @ rows


def _gram(rows, weights) -> Float[np.ndarray, "D D"]:
    used = weights > 0  # a person seen in one view only has no intra pair
    weighted = rows[used] * np.sqrt(weights[used])[:, None]
    return weighted.T @ weighted


def _with_transpose(matrix):
    return matrix + matrix.T


def _singular(intra, extra):
    """Left singular vectors and singular values of S_I⁻¹ S_E.

    The eigenvectors of the symmetric S_I⁻¹ S_E² S_I⁻¹ would take half of the time, but
    squaring costs half of the digits where eigenvalues are close.
    """
    left, values, _ = np.linalg.svd(np.linalg.solve(intra, extra))
    return left, values


def _generalised(intra, extra):
    """Solutions of S_E w = λ S_I w, largest λ first (Sec. 4.2).

    They maximise the ratio wᵀ S_E w / wᵀ S_I w. With S_I = L Lᵀ and v = Lᵀ w it is the
    symmetric problem L⁻¹ S_E L⁻ᵀ v = λ v.
    """
    inverse = np.linalg.inv(np.linalg.cholesky(intra))
    values, v = np.linalg.eigh(inverse @ extra @ inverse.T)
    return inverse.T @ v[:, ::-1], values[::-1]


_SOLVERS = {"svd": _singular, "eigen": _generalised}


def _check_invertible(intra, regularizer) -> None:
    relative = len(intra) * np.finfo(np.float64).eps
    # The covariance alone has no eigenvalue below 0: mostly all is well at once.
    if regularizer > relative * np.trace(intra):
        return
    values = np.linalg.eigvalsh(intra)
    if values[0] <= relative * values[-1]:
        raise ValueError(
            f"regularizer={regularizer} is too small: the covariance of the pairs of "
            "the same person is singular."
        )


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
