"""reid_jax/retrieval/xqda.py, against the authors' MATLAB code and by enumeration."""

import jax
import numpy as np
import pytest

import tests
from reid_jax.retrieval import linear_algebra, xqda

GOLDEN = np.load(tests.GOLDEN / "xqda.npz")
PROBLEMS = sorted({k.split(".")[1] for k in GOLDEN if k.startswith("xqda.")})
RNG = np.random.default_rng(0)


def _problem(name: str) -> dict:
    prefix = f"xqda.{name}."
    golden = {k.removeprefix(prefix): GOLDEN[k] for k in GOLDEN if k.startswith(prefix)}
    requested = golden.get("requested_dims")
    golden["views"] = tuple(
        golden[f"{side}_{what}"]
        for side in ("gallery", "probe")
        for what in ("features", "labels")
    )
    golden["settings"] = {
        "regularizer": float(golden["lambda"]),
        "dim": None if requested is None else int(requested),
    }
    # Singular values reach 3e4 where samples are fewer than dimensions.
    golden["tolerance"] = 1e-6 if "qr" in name else 1e-8
    return golden


def _assert_close(found, expected, tolerance: float) -> None:
    scale = abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", PROBLEMS)
def test_metric_and_distances_of_the_published_code(name):
    golden = _problem(name)
    model = xqda.fit(*golden["views"], **golden["settings"])
    num = int(golden["num_dims"])
    assert model.projection.shape == (golden["gallery_features"].shape[1], num)
    w, tolerance = model.projection, golden["tolerance"]
    np.testing.assert_allclose(w.T @ w, np.eye(num), atol=1e-12)
    _assert_close(w @ model.metric @ w.T, golden["WMWt"], tolerance)
    _assert_close(model.eigenvalues, golden["singular_values"][:num], tolerance)
    probe, gallery = golden["test_probe"], golden["test_gallery"]
    found = xqda.distances(model, probe, gallery)
    assert found.dtype == np.float64
    _assert_close(found, golden["dist"].T, tolerance)  # published: [gallery, probe]
    found = xqda.distances(model, gallery, gallery)
    _assert_close(found, golden["self_dist"], tolerance)


@pytest.mark.parametrize("name", PROBLEMS)
def test_metric_and_distances_of_the_paper(name):
    golden = _problem(name)
    # The reference keeps at most as many dimensions as the published code did.
    golden["settings"]["dim"] = int(golden["num_dims"])
    model = xqda.fit(*golden["views"], **golden["settings"], solver="eigen")
    num = int(golden["eigen_num_dims"])
    assert len(model.eigenvalues) == num
    w, tolerance = model.projection, golden["tolerance"]
    _assert_close(w @ model.metric @ w.T, golden["eigen_WMWt"], tolerance)
    _assert_close(model.eigenvalues, golden["eigenvalues"][:num], tolerance)
    found = xqda.distances(model, golden["test_probe"], golden["test_gallery"])
    _assert_close(found, golden["eigen_dist"].T, tolerance)


@pytest.mark.parametrize("name", ["d20_n90", "d100_n60_qr"])
def test_views_can_be_exchanged(name):
    golden = _problem(name)
    x, x_labels, y, y_labels = golden["views"]
    one = xqda.fit(x, x_labels, y, y_labels)
    other = xqda.fit(y, y_labels, x, x_labels)
    found = [
        xqda.distances(model, golden["test_probe"], golden["test_gallery"])
        for model in (one, other)
    ]
    _assert_close(found[1], found[0], golden["tolerance"])


def test_covariances_are_means_over_all_pairs():
    # Persons 4 and 5 are in one view only; far from the origin, squares cancel.
    x, x_labels = RNG.normal(size=(11, 3)), np.array([1, 1, 2, 3, 3, 3, 2, 1, 4, 4, 1])
    y, y_labels = RNG.normal(size=(7, 3)), np.array([3, 1, 2, 2, 5, 1, 1])
    pairs = {True: [], False: []}
    for a, p in zip(x, x_labels, strict=True):
        for b, q in zip(y, y_labels, strict=True):
            pairs[bool(p == q)].append(np.outer(a - b, a - b))
    counts = (np.bincount(labels, minlength=6) for labels in (x_labels, y_labels))
    with linear_algebra.float64():
        found = jax.jit(xqda._covariances)(
            x + 1e4, y + 1e4, x_labels, y_labels, *counts
        )
    for covariance, is_same_person in zip(found, (True, False), strict=True):
        np.testing.assert_allclose(
            covariance, np.mean(pairs[is_same_person], axis=0), atol=1e-9
        )


@pytest.mark.parametrize(
    "values, max_dim, tolerance",
    [
        ([1e4, 30, 3, 1.001, 0.999, 0.5, 0.1], 7, 1e-10),  # by a Newton step
        ([1e4, 30, 3, 1.001, 0.999, 0.5, 0.1], 2, 1e-10),
        ([1e3, 30, 3, 1 + 1e-8, 1 - 1e-8, 0.5, 0.1], 7, 1e-4),  # values close to 1
        ([1e8, 30, 3, 1.001, 0.999, 0.5, 0.1], 7, 1e-4),  # a large value
        ([1e9, 30, 3, 2, 0.5, 0.2, 0.1], 7, 1e-4),
        ([1e9, 1.2, 0.5, 0.4, 0.3, 0.2, 0.1], 7, 1e-4),
    ],
)
def test_singular_vectors_are_as_accurate_as_by_an_svd(values, max_dim, tolerance):
    values, rng = np.array(values), np.random.default_rng(0)
    num = min((values > 1).sum(), max_dim)
    for _ in range(10):
        vectors = np.linalg.qr(rng.normal(size=(7, 7)))[0]
        extra = (vectors * values) @ vectors.T
        with linear_algebra.float64():
            left, found = map(np.asarray, xqda._singular(np.eye(7), extra, max_dim))
        kept, expected = left[:, :num], vectors[:, :num]
        np.testing.assert_allclose(kept @ kept.T, expected @ expected.T, atol=tolerance)
        assert (found > 1).sum() == (values > 1).sum() and (np.diff(found) <= 0).all()
        np.testing.assert_allclose(found / values[0], values / values[0], atol=1e-14)


def test_far_from_the_origin():
    golden = _problem("d64_n240")
    x, x_labels, y, y_labels = golden["views"]
    model = xqda.fit(x + 1e3, x_labels, y + 1e3, y_labels)
    found = xqda.distances(
        model, golden["test_probe"] + 1e3, golden["test_gallery"] + 1e3
    )
    _assert_close(found, golden["dist"].T, 1e-8)


def test_float32_embeddings_are_fitted_in_float64():
    golden = _problem("d20_n90")
    x, x_labels, y, y_labels = golden["views"]
    x, y = x.astype(np.float32), y.astype(np.float32)
    one = xqda.fit(x, x_labels, y, y_labels)
    other = xqda.fit(x.astype(float), x_labels, y.astype(float), y_labels)
    assert one.metric.dtype == np.float64
    np.testing.assert_array_equal(one.metric, other.metric)


def test_a_device_without_float64_leaves_it_to_the_cpu(monkeypatch):
    views = _problem("d20_n90")["views"]
    expected = xqda.fit(*views)
    default = jax.devices()[1]
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with jax.default_device(default):
        with linear_algebra.float64():
            assert jax.numpy.ones(1).devices() == {jax.local_devices(backend="cpu")[0]}
        np.testing.assert_array_equal(xqda.fit(*views).metric, expected.metric)
        assert jax.numpy.ones(1).devices() == {default}
    assert jax.numpy.ones(1).dtype == np.float32


def test_at_least_one_dimension():
    golden = _problem("d20_n90")
    model = xqda.fit(*golden["views"], regularizer=1e6)
    assert (model.eigenvalues < 1).all()
    assert model.projection.shape == (20, 1)


def test_it_finds_what_euclidean_distances_do_not():
    # Three of twenty directions tell persons apart; the others are louder.
    loudness = np.array([1.0] * 3 + [5.0] * 17)
    persons = RNG.normal(size=(120, 3))

    def view(rows):
        noise = loudness * RNG.normal(size=(len(rows), 20))
        noise[:, :3] *= 0.1
        noise[:, :3] += persons[rows]
        return noise

    train, test = np.arange(60).repeat(2), np.arange(60, 120)
    model = xqda.fit(view(train), train, view(train), train)
    query, gallery = view(test), view(test)
    rank1 = (xqda.distances(model, query, gallery).argmin(axis=1) == range(60)).mean()
    plain = ((query[:, None] - gallery) ** 2).sum(axis=2)
    assert rank1 > 0.4
    assert rank1 > (plain.argmin(axis=1) == range(60)).mean() + 0.3


_X = RNG.normal(size=(6, 3))
_OK = {
    "x": _X,
    "x_labels": np.array([1, 1, 2, 2, 3, 3]),
    "y": _X + 0.1,
    "y_labels": np.array([1, 2, 3, 1, 2, 3]),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_labels": np.arange(5)}, "x has 6 embeddings, but there are 5 x_labels"),
        ({"y_labels": np.arange(7)}, "y has 6 embeddings, but there are 7 y_labels"),
        ({"x": _X * [1, np.nan, 1]}, "6 x embeddings hold .* not finite, .* at 0"),
        ({"y": np.where(_X[2] == _X, np.inf, _X)}, "1 y embeddings .* at 2"),
        ({"x": np.ones((0, 3)), "x_labels": np.arange(0)}, "There are no x embeddings"),
        ({"y": np.ones((0, 3)), "y_labels": np.arange(0)}, "There are no y embeddings"),
        ({"y": np.ones((6, 4))}, "x has 3 dimensions, y 4"),
        ({"x_labels": np.arange(10, 16)}, "No person is in both x and y"),
        ({"x_labels": np.ones(6, int), "y_labels": np.ones(6, int)}, "one person only"),
        ({"dim": 0}, "dim=0 must be from 1 to 3"),
        ({"dim": 4}, "dim=4 must be from 1 to 3"),
        ({"solver": "qz"}, "solver='qz' is unknown; known: svd, eigen"),
        ({"regularizer": -1.0}, "regularizer=-1.0 must be at least 0"),
        ({"regularizer": float("nan")}, "regularizer=nan must be at least 0"),
        ({"x": np.ones((6, 3)), "y": np.ones((6, 3))}, "All embeddings are the same"),
        ({"x": _X * [1, 1, 0], "y": _X * [2, 1, 0], "regularizer": 0}, "too small"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        xqda.fit(**{**_OK, **change})


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.ones((2, 4)), "query embeddings have 4 dimensions; .* fitted to 3"),
        (np.ones((0, 3)), "There are no query embeddings"),
        (np.full((2, 3), np.nan), "2 query embeddings hold .* not finite"),
    ],
)
def test_bad_query(query, message):
    with pytest.raises(ValueError, match=message):
        xqda.distances(xqda.fit(**_OK), query, _X)
