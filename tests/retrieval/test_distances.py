"""reid_jax/retrieval/distances.py, against loops and float64."""

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.spatial.distance
from hypothesis import strategies

from reid_jax import parallel
from reid_jax.retrieval import distances, expansion
from tests import processes

RNG = np.random.default_rng(0)
METRICS = ("squared_l2", "l2", "cosine")


def _rows(num, dimensions=8, dtype="f"):
    return RNG.normal(size=(num, dimensions)).astype(dtype)


def _wide(x, y, metric):
    x, y = x.astype(float), y.astype(float)
    if metric == "cosine":  # half the squared distance of unit vectors: 1 - cos cancels
        x, y = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (x, y))
        return scipy.spatial.distance.cdist(x, y, "sqeuclidean") / 2
    scipy_name = {"squared_l2": "sqeuclidean", "l2": "euclidean"}[metric]
    return scipy.spatial.distance.cdist(x, y, scipy_name)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("dtype", "rtol"), [("e", 1e-5), ("f", 1e-5), ("d", 1e-12), (jnp.bfloat16, 1e-5)]
)
@pytest.mark.parametrize("num_queries", [1, 5, 3000])
def test_every_pair(metric, dtype, rtol, num_queries):
    x, y = (np.asarray(_rows(n)).astype(dtype) for n in (num_queries, 900))
    found = getattr(distances, metric)(x, y)
    np.testing.assert_allclose(found, _wide(x, y, metric), rtol=rtol)
    assert found.dtype == ("d" if dtype == "d" else "f")


def test_a_zero_vector_is_at_cosine_distance_one():
    zero = np.zeros((2, 8), "f")
    assert (distances.cosine(zero, _rows(7)) == 1).all()
    assert (distances.cosine(_rows(7), zero) == 1).all()
    assert (distances.cosine(zero, zero) == 1).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e15])
@pytest.mark.parametrize("mean", [0.0, 10.0, 1e4])
def test_equal_rows_and_near_duplicates(metric, scale, mean):
    # A cloud of near duplicates around each of a few centres, far from the origin.
    centres = mean + RNG.normal(size=(4, 256))
    noise = np.exp(RNG.uniform(-14, 0, size=(60, 1))) * RNG.normal(size=(60, 256))
    rows = (scale * (centres[np.arange(60) % 4] + noise)).astype("f")
    x, y = np.concatenate([rows[:20], rows[30:32]]), rows
    if metric == "squared_l2" and scale == 1e-30:
        scale = 1  # the squares are below float32
        return
    found, wide = getattr(distances, metric)(x, y), _wide(x, y, metric)
    matched = (x[:, None] == y[None]).all(axis=2)
    assert matched.sum() >= 22
    assert (found[matched] == 0).all()
    # Wherever float64 sees a difference above rounding, so does the order.
    for row, of_wide in zip(found, wide, strict=True):
        order = np.argsort(of_wide)
        steps = np.diff(of_wide[order])
        told_apart = steps > 2e-5 * of_wide[order][1:]
        assert (np.diff(row[order])[told_apart] > 0).all()


def test_small_integers_tie_exactly():
    x = RNG.integers(0, 3, size=(30, 4)).astype("f")
    found = distances.squared_l2(x, x)
    np.testing.assert_array_equal(found, _wide(x, x, "squared_l2"))
    values, indices = distances.top_k(x, x, 30, metric="squared_l2", block=16)
    np.testing.assert_array_equal(indices, np.argsort(found, axis=1, kind="stable"))
    np.testing.assert_array_equal(values, np.sort(found, axis=1))


@hypothesis.given(
    seed=strategies.integers(0, 2**31),
    # Few sizes: each is compiled.
    num=strategies.sampled_from([1, 23, 70]),
    block=strategies.sampled_from([1, 16, 40]),
    num_nearest=strategies.sampled_from([1, 9, 70]),
    metric=strategies.sampled_from(METRICS),
)
@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
def test_top_k_is_the_sorted_matrix(seed, num, block, num_nearest, metric):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, 5)).astype("f")
    y = rng.normal(size=(num, 5)).astype("f")
    y[rng.integers(num, size=num // 3)] = x[0]  # ties, and equal rows
    k = min(num, num_nearest)
    matrix = getattr(distances, metric)(x, y)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :k]
    cuts = np.sort(rng.integers(0, num + 1, size=3))
    for gallery in (y, jnp.asarray(y), iter(np.split(y, cuts))):
        values, indices = distances.top_k(x, gallery, k, metric=metric, block=block)
        nearest = np.take_along_axis(matrix, order, axis=1)
        np.testing.assert_allclose(values, nearest, rtol=1e-5, atol=1e-7)
        matched = np.take_along_axis(matrix, indices, axis=1)
        np.testing.assert_allclose(matched, nearest, rtol=1e-5, atol=1e-7)
        assert all(len(set(row)) == k for row in indices.tolist())


@pytest.mark.parametrize("levels", [2, 1000])  # ties, or hardly any
def test_top_k_of_many_groups_for_unlike_queries(levels):
    # For some queries all later blocks are nearer, for others none: the few groups
    # that serve the latter must not be all that the former get.
    x = np.array([[0.0, 0.0], [3000.0, 0.0], [1500.0, 1.0]], "f")
    y = np.stack([np.arange(3000.0), np.zeros(3000)], 1).astype("f")
    y = np.round(y / 3000 * levels) * 3000 / levels
    matrix = distances.squared_l2(x, y)
    order = np.argsort(matrix, axis=1, kind="stable")[:, :40]
    for gallery in (y, iter(np.split(y, [17, 900]))):
        values, indices = distances.top_k(
            x, gallery, 40, metric="squared_l2", block=512
        )
        nearest = np.take_along_axis(matrix, order, axis=1)
        np.testing.assert_allclose(values, nearest, rtol=1e-6)
        if levels == 2:
            np.testing.assert_array_equal(indices, order)


@pytest.mark.parametrize("metric", METRICS)
def test_an_outlier_changes_no_other_distance(metric):
    x = _rows(100, 16)
    y = x + 0.01 * _rows(100, 16)
    expected = _wide(x, y, metric)
    x[5, 0] = 1e15
    found = getattr(distances, metric)(x, y)
    others = np.delete(np.arange(100), 5)
    np.testing.assert_allclose(found[others], expected[others], rtol=1e-4)
    assert np.isfinite(found).all()
    assert distances.top_k(x, y, 1, metric=metric)[1][others, 0].tolist() == list(
        others
    )
    x[5, 0] = 1e30
    with np.errstate(over="ignore"):
        if metric == "cosine":
            found = distances.cosine(x, y)
            np.testing.assert_allclose(found[others], expected[others], rtol=1e-4)
        else:
            with pytest.raises(ValueError, match=r"query embeddings of up to 1e.30"):
                getattr(distances, metric)(x, y)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_collapsed_rows(metric, dtype):
    # One different row, or a few, and so nothing but close pairs.
    kinds = _rows(3, 64, dtype)
    x, y = kinds[RNG.integers(3, size=300)], kinds[RNG.integers(3, size=500)]
    found = getattr(distances, metric)(x, y)
    matched = (x[:, None] == y[None]).all(axis=2)
    assert (found[matched] == 0).all()
    wide = _wide(x, y, metric)
    np.testing.assert_allclose(found[~matched], wide[~matched], rtol=1e-5)
    found = getattr(distances, metric)(np.broadcast_to(kinds[:1], (300, 64)), y[:1])
    assert len(np.unique(found)) == 1


def test_integers_keep_their_digits():
    found = distances.l2(np.array([[2**40]]), np.array([[2**40 + 1], [2**40 + 2]]))
    assert found.tolist() == [[1, 2]]


def test_top_k_orders_near_duplicates_as_float64():
    centre = 10 + _rows(1, 128, "d")
    y = (centre + 10.0 ** -np.linspace(0, 4, 50)[:, None] * _rows(1, 128, "d")).astype(
        "f"
    )
    y = y[RNG.permutation(50)]
    x = np.concatenate([centre.astype("f"), y[:3]])
    _, indices = distances.top_k(x, y, 50, block=16)
    np.testing.assert_array_equal(indices, np.argsort(_wide(x, y, "l2"), axis=1))


def test_top_k_holds_one_block(monkeypatch):
    sizes = []
    block = expansion.Expansion.block
    monkeypatch.setattr(
        expansion.Expansion,
        "block",
        lambda self, x, y, size: sizes.append(size) or block(self, x, y, size),
    )
    seen = []

    def pieces():
        for _ in range(40):
            seen.append(len(sizes))  # blocks compared when the next piece is asked for
            yield _rows(7)

    one = parallel.mesh_of(jax.devices()[:1])
    distances.top_k(_rows(3), pieces(), 5, block=32, mesh=one)
    assert sizes == [32] * 9
    assert seen[-1] >= 8 and seen[10] >= 1


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("num", [1, 50])  # fewer than devices; the last share smaller
def test_two_devices_find_what_one_finds(monkeypatch, metric, num):
    monkeypatch.setattr(distances, "_BLOCK", 16)
    x, y = _rows(5), _rows(num)
    y[3:40:2] = x[0]  # ties, and close pairs, across shares
    k = min(num, 40)  # more than the 32 and 18 entries of the shares
    found, matrices = [], []
    for num_devices in (1, 2):
        mesh = parallel.mesh_of(jax.devices()[:num_devices])
        for gallery in (y, iter([y[:7], y[7:]])):
            found.append(
                distances.top_k(x, gallery, k, metric=metric, block=16, mesh=mesh)
            )
        matrices += [b for _, b in distances.blocks(x, y, metric, mesh=mesh)]
    np.testing.assert_array_equal(*matrices)
    order = np.argsort(matrices[0], axis=1, kind="stable")[:, :k]
    for nearest, positions in found:
        np.testing.assert_array_equal(nearest, found[0][0])
        np.testing.assert_array_equal(positions, found[0][1])
        matched = np.take_along_axis(matrices[0], positions, axis=1)
        sorted_ = np.take_along_axis(matrices[0], order, axis=1)
        np.testing.assert_allclose(matched, sorted_, rtol=1e-5, atol=1e-7)
    if num > 1:  # the copies of the query come first, in the order of the gallery
        assert found[0][1][0, :19].tolist() == list(range(3, 40, 2))


_ON_DEVICES = """
import hashlib, json, sys
import jax, numpy as np
from reid_jax.retrieval import distances
from reid_jax.runs.embeddings import Embedded
from reid_jax.scoring import metrics, scores

assert len(jax.devices()) == int(sys.argv[1])
rng = np.random.default_rng(0)
kept = []

def keep(*arrays):
    kept.extend(hashlib.sha256(np.ascontiguousarray(a)).hexdigest() for a in arrays)

def embedded(num):
    pids, camids = rng.integers(9, size=num), rng.integers(3, size=num)
    rows = np.eye(9, 40, dtype="f")[pids] + rng.normal(size=(num, 40)).astype("f")
    return Embedded(rows, pids, camids, np.arange(num))

splits = {"query": embedded(70), "gallery": embedded(9331)}
x, y = (splits[name].embeddings for name in ("query", "gallery"))
y[100:9000:7] = x[3]
y[-3000:] = np.round(y[-3000:])
for metric in ("l2", "cosine"):
    plain = metrics.Metric(metric, False, distances.METRICS[metric])
    scored = scores.score("network", splits, plain, "standard", "step")
    keep(scored.distances)
    kept.append(json.dumps(scored.row()))
    for num, k, block in (9331, 50, 2048), (9331, 900, 512), (3, 3, 16), (300, 90, 64):
        keep(*distances.top_k(x, y[-num:], k, metric=metric, block=block))
        pieces = iter(np.array_split(y[-num:], 3))
        keep(*distances.top_k(x, pieces, k, metric=metric, block=block))
keep(*distances.top_k(x.astype("d"), y, 9, metric="l2"))
print(json.dumps(kept))
"""


@pytest.mark.slow
def test_four_devices_score_as_one():
    one, four = (
        processes.end(processes.start("-c", _ON_DEVICES, str(n), num_devices=n))[0]
        for n in (1, 4)
    )
    assert one.splitlines()[-1] == four.splitlines()[-1]


def test_float64_top_k():
    x, y = _rows(4, 16, "d"), _rows(40, 16, "d")
    values, indices = distances.top_k(x, y + 1e9, 3)
    assert values.dtype == np.float64
    order = np.argsort(_wide(x, y + 1e9, "l2"), axis=1)[:, :3]
    np.testing.assert_array_equal(indices, order)


_OK = np.ones((3, 4), "f")
_BAD = np.array([[1, 1, 1, 1], [1, np.nan, 1, 1]], "f")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (_BAD, _OK, "1 query embeddings are not finite, the first is row 1"),
        (_OK, -np.inf * _BAD, "2 gallery embeddings are not finite, .* row 0"),
        (_OK[:0], _OK, "0 query and 3 gallery embeddings: one is empty"),
        (_OK, _OK[:0], "3 query and 0 gallery embeddings: one is empty"),
        (_OK, _OK[:, :2], r"query embeddings are \(3, 4\), gallery .* \(3, 2\)"),
    ],
)
def test_bad_input(metric, x, y, message):
    with np.errstate(invalid="ignore"):
        y = np.asarray(y)
    with pytest.raises(ValueError, match=message):
        getattr(distances, metric)(x, y)
    with pytest.raises(ValueError, match=message):
        distances.top_k(x, y, 1, metric=metric)


def test_bad_settings_of_top_k():
    for keywords, message in (
        ({"k": 4}, "k=4 is more than the 3 gallery embeddings"),
        ({"k": 0}, "k=0 and block=2048 must be at least 1"),
        ({"k": 1, "metric": "manhattan"}, "metric='manhattan' is unknown; known: sq"),
    ):
        with pytest.raises(ValueError, match=message):
            distances.top_k(_OK, _OK, **keywords)
    with pytest.raises(ValueError, match="3 query and 0 gallery embeddings"):
        distances.top_k(_OK, iter([]), 1)
    with pytest.raises(ValueError, match="k=7 is more than the 6 gallery"):
        distances.top_k(_OK, iter([_OK, _OK]), 7)


def test_embeddings_too_large_to_be_squared():
    with pytest.raises(ValueError, match=r"gallery embeddings of up to 3e\+38 are too"):
        distances.squared_l2(_OK, np.full((1, 4), 3e38, "f"))
