"""reid_jax/retrieval/rerank.py and its neighbours, against the published code."""

import hypothesis
import numpy as np
import pytest
import scipy.spatial.distance
from hypothesis import strategies

import tests
from reid_jax.retrieval import neighbours, ranking, rerank

GOLDEN = np.load(tests.GOLDEN / "rerank.npz")
SETTINGS = {
    "k20_6_l0.3": {"k1": 20, "k2": 6, "lambda_value": 0.3},
    "k10_3_l0.5": {"k1": 10, "k2": 3, "lambda_value": 0.5},
    "k15_1_l0.1": {"k1": 15, "k2": 1, "lambda_value": 0.1},
}
RNG = np.random.default_rng(0)


def _embeddings(num: int, dimensions: int = 16, persons: int = 6) -> np.ndarray:
    centres = RNG.normal(size=(persons, dimensions))
    rows = centres[RNG.integers(persons, size=num)]
    return (rows + 0.5 * RNG.normal(size=rows.shape)).astype(np.float32)


def _by_loops(query, gallery, *, k1, k2, lambda_value):
    """The definition, set by set, with full matrices; ties by position."""
    rows = np.concatenate([query, gallery]).astype(float)
    num = len(rows)
    distances = scipy.spatial.distance.cdist(rows, rows, "sqeuclidean")
    largest = distances.max(axis=1, keepdims=True)
    distances /= np.where(largest > 0, largest, 1)
    order = np.argsort(distances, axis=1, kind="stable")

    def reciprocal(p, k):
        return {g for g in order[p, : k + 1] if p in order[g, : k + 1]}

    encoding = np.zeros((num, num))
    for p in range(num):
        neighbourhood = reciprocal(p, k1)
        members = set(neighbourhood)
        for q in neighbourhood:
            others = reciprocal(q, round(k1 / 2))
            if 3 * len(others & neighbourhood) > 2 * len(others):
                members |= others
        for g in members:
            encoding[p, g] = np.exp(-distances[p, g])
        encoding[p] /= max(encoding[p].sum(), 1e-300)
    encoding = np.stack([encoding[order[p, :k2]].mean(axis=0) for p in range(num)])
    shared = np.stack([np.minimum(v, encoding).sum(axis=1) for v in encoding])
    result = (1 - lambda_value) * (1 - shared / (2 - shared)) + lambda_value * distances
    return result[: len(query), len(query) :]


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("problem", ["p60x200", "p150x600"])
def test_distances_and_scores_of_the_published_code(problem, name):
    golden = {k.removeprefix(f"{problem}."): GOLDEN[k] for k in GOLDEN if problem in k}
    labels = [golden[k] for k in ("q_pids", "g_pids", "q_camids", "g_camids")]
    distances = rerank.k_reciprocal(
        golden["q_features"], golden["g_features"], **SETTINGS[name]
    )
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, golden[f"{name}.dist"], rtol=0, atol=1e-5)
    result = ranking.evaluate(distances, *labels)
    np.testing.assert_allclose(result.mean_ap, golden[f"{name}.map"], atol=1e-6)
    np.testing.assert_allclose(result.cmc[:20], golden[f"{name}.cmc"], atol=1e-6)
    assert result.mean_ap > golden["before.map"] + 0.1


@pytest.mark.parametrize("problem", ["p60x200", "p150x600"])
def test_from_distances_it_is_the_same(problem):
    golden = {k.removeprefix(f"{problem}."): GOLDEN[k] for k in GOLDEN if problem in k}
    query, gallery = golden["q_features"], golden["g_features"]
    rows = np.concatenate([query, gallery]).astype(float)
    squared = scipy.spatial.distance.cdist(rows, rows, "sqeuclidean")
    found = rerank.k_reciprocal_of_distances(squared, len(query), k1=20, k2=6)
    expected = golden["k20_6_l0.3.dist"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_distances_may_be_negative_and_tie():
    # As XQDA's, whose metric need not be positive.
    distances = RNG.integers(-3, 4, size=(30, 30)).astype(float)
    distances = distances + distances.T
    np.fill_diagonal(distances, -9)
    found = rerank.k_reciprocal_of_distances(distances, 8, k1=5, k2=2, lambda_value=1)
    largest = distances.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found, (distances / largest)[:8, 8:], rtol=1e-6)
    found = rerank.k_reciprocal_of_distances(distances, 8, k1=5, k2=2)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("k1", [1, 2, 9, 24])
@pytest.mark.parametrize("k2", [1, 4, 24])
def test_the_definition_at_any_k(k1, k2):
    settings = {"k1": k1, "k2": k2, "lambda_value": 0.4}
    query, gallery = _embeddings(11), _embeddings(24)
    expected = _by_loops(query, gallery, **settings)
    found = rerank.k_reciprocal(query, gallery, **settings, block=12)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_ties_are_broken_by_position(levels):
    # Integers: distances tie exactly, and rows coincide; with one level all of them.
    settings = {"k1": 6, "k2": 3, "lambda_value": 0.3}
    query = RNG.integers(levels, size=(9, 3)).astype(np.float32)
    gallery = RNG.integers(levels, size=(40, 3)).astype(np.float32)
    expected = _by_loops(query, gallery, **settings)
    for offset in (0, 3000):  # far from the origin, squares cancel
        for block in (7, 1024):
            found = rerank.k_reciprocal(
                query + offset, gallery + offset, **settings, block=block
            )
            np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_small_distances_between_large_embeddings(scale):
    # Two far outliers set the scale; float32 would lose the rest in ‖x‖²+‖y‖²-2xy.
    query, gallery = _embeddings(8), _embeddings(30)
    gallery[:2] = 1e4 * gallery[:2]
    query, gallery = scale * query, scale * gallery
    settings = {"k1": 6, "k2": 2, "lambda_value": 1.0}
    rows = (query.astype(float) / scale, gallery.astype(float) / scale)
    expected = _by_loops(*rows, **settings)
    found = rerank.k_reciprocal(query, gallery, **settings)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_outlier_changes_no_other_distance():
    query, gallery = _embeddings(8), _embeddings(30)
    plain = rerank.k_reciprocal(query, gallery, k1=6, k2=2, lambda_value=0.0)
    query = np.concatenate([query, np.full((1, 16), 1e15, "f")])
    found = rerank.k_reciprocal(query, gallery, k1=6, k2=2, lambda_value=0.0)
    # All distances but its own are next to nothing beside it, and weigh the same.
    assert (np.sort(found[:8]) != found[:8, :1]).any()
    assert np.corrcoef(found[:8].ravel(), plain.ravel())[0, 1] > 0.9
    query[-1] = 1e30
    with pytest.raises(
        ValueError, match="embedding 8 of queries and gallery is too far"
    ):
        rerank.k_reciprocal(query, gallery, k1=6, k2=2)


def test_identical_rows_have_no_distance():
    query = _embeddings(5, 64)
    gallery = np.concatenate([_embeddings(7, 64), query])
    found = rerank.k_reciprocal(query, gallery, k1=3, k2=2, lambda_value=1.0, block=4)
    assert (np.diagonal(found[:, 7:]) == 0).all()


def test_float64_embeddings_keep_their_differences():
    query, gallery = _embeddings(6).astype(float), _embeddings(20).astype(float)
    settings = {"k1": 4, "k2": 2}
    expected = rerank.k_reciprocal(query, gallery, **settings)
    found = rerank.k_reciprocal(query + 1e8, gallery + 1e8, **settings)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@hypothesis.given(seed=strategies.integers(0, 2**31), block=strategies.integers(5, 40))
@hypothesis.settings(max_examples=12, deadline=None, derandomize=True)
def test_properties(seed, block):
    rng = np.random.default_rng(seed)
    query = rng.normal(size=(10, 8)).astype(np.float32)
    gallery = rng.normal(size=(25, 8)).astype(np.float32)
    found = rerank.k_reciprocal(query, gallery, k1=5, k2=3)
    assert found.shape == (10, 25)
    assert (found >= 0).all() and (found <= 1 + 1e-6).all()
    other = rerank.k_reciprocal(query, gallery, k1=5, k2=3, block=block // 5 * 5)
    np.testing.assert_allclose(other, found, atol=1e-5)
    order = rng.permutation(25)
    permuted = rerank.k_reciprocal(query, gallery[order], k1=5, k2=3)
    np.testing.assert_allclose(permuted, found[:, order], atol=1e-5)
    plain = scipy.spatial.distance.cdist(query.astype(float), gallery.astype(float))
    alone = rerank.k_reciprocal(query, gallery, k1=5, k2=3, lambda_value=1)
    np.testing.assert_array_equal(np.argsort(alone, axis=1), np.argsort(plain, axis=1))


def test_memory_does_not_hold_all_distances(monkeypatch):
    # The largest piece of any step is a block's, not the square of all rows.
    sizes = []
    step = neighbours._step
    monkeypatch.setattr(
        neighbours, "_step", lambda *a: sizes.append(step(*a)[0].size) or step(*a)
    )
    rerank.k_reciprocal(_embeddings(20), _embeddings(80), k1=5, k2=3, block=32)
    assert sizes == [1024] * 10


_OK = {"query": np.ones((2, 4), "f"), "gallery": np.eye(4, dtype="f")}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k1": 7}, "k1=7 must be from 1 to 4"),
        ({"k1": 0}, "k1=0 must be from 1 to 4"),
        ({"k2": 0}, "k2=0 must be from 1 to 4"),
        ({"k2": 7}, "k2=7 must be from 1 to 4"),
        ({"lambda_value": 1.5}, "lambda_value=1.5 must be from 0 to 1"),
        ({"lambda_value": float("nan")}, "lambda_value=nan must be from 0 to 1"),
        ({"block": 0}, "block=0 must be at least 1"),
        ({"query": np.full((2, 4), np.nan, "f")}, "2 query embeddings .* at 0"),
        ({"gallery": np.diag([1, np.inf, 1, 1])}, "1 gallery embeddings .* at 1"),
        ({"query": np.ones((0, 4), "f")}, "0 queries and 4 gallery entries"),
        ({"gallery": np.ones((0, 4), "f")}, "2 queries and 0 gallery entries"),
        ({"gallery": np.ones((4, 5), "f")}, "4 dimensions, gallery entries 5"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ValueError, match=message):
        rerank.k_reciprocal(**{**_OK, "k1": 3, "k2": 2, **change})


@pytest.mark.parametrize(
    ("distances", "num_queries", "message"),
    [
        (np.zeros((4, 5)), 2, r"\(4, 5\) with 2 queries: expected \[n, n\]"),
        (np.zeros((4, 4)), 4, "neither empty"),
        (np.zeros((4, 4)), 0, "neither empty"),
        (np.full((4, 4), np.nan), 2, "16 distances are not finite, the first at"),
        (np.zeros((4, 4)), 2, "k1=3 must be from 1 to 2"),
    ],
)
def test_bad_distances(distances, num_queries, message):
    with pytest.raises(ValueError, match=message):
        rerank.k_reciprocal_of_distances(distances, num_queries, k1=3, k2=2)
