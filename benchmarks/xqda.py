"""Time of fitting XQDA, against its algebra in NumPy.

python benchmarks/xqda.py                                     (make bench, seconds)
python benchmarks/xqda.py --samples=8298 --dimensions=2048    (MARS, minutes)

The plain version has the published code's steps: a Gram matrix for each side, weighted
and not, a general solve and an SVD. "numpy" has our formula, its Gram matrices made
by BLAS's symmetric product, which XLA has not. Medians of --rounds and their spread; a
ratio is that of each round. "eigen" keeps another subspace by design, so that its
distances differ.
"""

import functools
import pathlib
import sys

import numpy as np
import scipy.sparse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from reid_jax.retrieval import xqda

_REGULARIZER = 1e-3


def main() -> None:
    parser = measuring.parser(__doc__, rounds=5)
    samples, dimensions = measuring.at_least(60), measuring.at_least(1)
    parser.add_argument("--samples", type=samples, default=1500, help="of both views")
    parser.add_argument("--dimensions", type=dimensions, default=256)
    args = parser.parse_args()
    views = make_views(args.samples, args.dimensions)
    machine = measuring.begin(args)
    models = {}

    def fit(name: str) -> float:
        return measuring.seconds(
            lambda: models.update(
                {name: METHODS[name](*views, regularizer=_REGULARIZER)}
            )
        )

    measures = {name: functools.partial(fit, name) for name in METHODS}
    found = measuring.in_turn(measures, args.rounds)
    print(f"{args.samples} samples, {args.dimensions} dimensions")
    results = measuring.compare(found, "numpy", "seconds", "8.3f")
    query, gallery = views[0][:50], views[2][:80]
    distances = {n: xqda.distances(m, query, gallery) for n, m in models.items()}
    base = distances["numpy"]
    for name, row in results.items():
        row["kept"] = num_dims = models[name].metric.shape[0]
        difference = abs(distances[name] - base).max() / abs(base).max()
        row["difference"] = difference
        print(
            f"{name}: {num_dims} dimensions kept, largest difference from numpy's "
            f"distances {difference:.0e}"
        )
    measuring.print_json(machine, results)


def make_views(num: int, dimensions: int) -> tuple[np.ndarray, ...]:
    """Embeddings of about 13 tracklets of each person, half of them in each view."""
    rng = np.random.default_rng(0)
    labels = rng.integers(max(num // 13, 2), size=num)
    mixing = rng.normal(size=(dimensions, dimensions)) / dimensions**0.5
    mixing *= np.linspace(0.1, 2, dimensions)[:, None]
    embeddings = rng.normal(size=(labels.max() + 1, dimensions))[labels]
    embeddings += rng.normal(size=embeddings.shape)
    embeddings = np.maximum(embeddings @ mixing, 0)
    half = num // 2
    return embeddings[:half], labels[:half], embeddings[half:], labels[half:]


def _plain(x, x_labels, y, y_labels, *, regularizer: float) -> xqda.XQDA:
    n, m, dimensions = len(x), len(y), x.shape[1]
    persons = np.union1d(x_labels, y_labels)
    x_weights, y_weights = np.zeros(n), np.zeros(m)
    x_sums, y_sums = (np.zeros((len(persons), dimensions)) for _ in range(2))
    num_intra = 0
    for row, person in enumerate(persons):
        in_x, in_y = x_labels == person, y_labels == person
        x_weights[in_x], y_weights[in_y] = in_y.sum(), in_x.sum()
        x_sums[row], y_sums[row] = x[in_x].sum(axis=0), y[in_y].sum(axis=0)
        num_intra += in_x.sum() * in_y.sum()
    cross = x_sums.T @ y_sums
    intra = (x_weights[:, None] * x).T @ x + (y_weights[:, None] * y).T @ y
    intra -= cross + cross.T
    cross = np.outer(x_sums.sum(axis=0), y_sums.sum(axis=0))
    extra = m * (x.T @ x) + n * (y.T @ y) - cross - cross.T - intra
    return _solve(intra / num_intra, extra / (n * m - num_intra), regularizer)


def _numpy(x, x_labels, y, y_labels, *, regularizer: float) -> xqda.XQDA:
    n, m = len(x), len(y)
    rows = np.concatenate([x, y])
    rows -= rows.mean(axis=0)
    labels = np.concatenate([x_labels, y_labels])
    persons, codes = np.unique(labels, return_inverse=True)
    counts = [np.bincount(of, minlength=len(persons)) for of in (codes[:n], codes[n:])]
    views = np.repeat([0, 1], [n, m])
    where = (codes + views * len(persons), np.arange(n + m))
    sums = scipy.sparse.csr_array((np.ones(n + m), where)) @ rows
    s_k, r_k = np.split(sums, [len(persons)])
    weights = np.concatenate([counts[1][codes[:n]], counts[0][codes[n:]]])
    cross = s_k.T @ r_k
    intra = _gram(rows, weights) - cross - cross.T
    cross = np.outer(s_k.sum(axis=0), r_k.sum(axis=0))
    extra = _gram(rows, np.where(views, n, m)) - cross - cross.T - intra
    num_intra = int(np.dot(*counts))
    return _solve(intra / num_intra, extra / (n * m - num_intra), regularizer)


def _gram(rows, weights) -> np.ndarray:
    weighted = rows * np.sqrt(weights)[:, None]
    return weighted.T @ weighted  # NumPy sees that both are one: half of the work


def _solve(intra, extra, regularizer: float) -> xqda.XQDA:
    intra += regularizer * np.eye(len(intra))
    left, values, _ = np.linalg.svd(np.linalg.solve(intra, extra))
    w = left[:, : max(1, (values > 1).sum())]
    metric = np.linalg.inv(w.T @ intra @ w) - np.linalg.inv(w.T @ extra @ w)
    return xqda.XQDA(w, metric, values[: w.shape[1]])


def _eigen(*views, regularizer: float) -> xqda.XQDA:
    return xqda.fit(*views, regularizer=regularizer, solver="eigen")


METHODS = {"numpy": _numpy, "plain": _plain, "svd": xqda.fit, "eigen": _eigen}

if __name__ == "__main__":
    main()
