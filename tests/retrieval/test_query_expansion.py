"""reid_jax/retrieval/query_expansion.py, by hand and by loops."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_jax.retrieval import query_expansion


def _l2(x, y):
    return np.linalg.norm(x[:, None] - y[None], axis=-1)


def test_by_hand():
    gallery = np.array([[2.0, 0.0], [0.0, 2.0], [-9.0, 0.0]])
    query = np.array([[1.0, 0.0]])
    one = query_expansion.expand(query, gallery, _l2, k=1, alpha=0)
    assert one.tolist() == [[1.5, 0.0]]
    # The second neighbour is at a right angle: its weight is 0, or 1 in a plain mean.
    two = query_expansion.expand(query, gallery, _l2, k=2, alpha=3)
    assert two.tolist() == [[1.5, 0.0]]
    mean = query_expansion.expand(query, gallery, _l2, k=2, alpha=0)
    np.testing.assert_allclose(mean, [[1.0, 2 / 3]])
    # What points the other way pulls nobody.
    every = query_expansion.expand(query, gallery, _l2, k=99, alpha=1)
    assert every.tolist() == [[1.5, 0.0]]


def test_a_gallery_entry_is_not_its_own_neighbour():
    gallery = np.array([[1.0], [2.0], [9.0]])
    found = query_expansion.expand(gallery, gallery, _l2, k=1, alpha=0, is_gallery=True)
    assert found.tolist() == [[1.5], [1.5], [5.5]]
    alone = query_expansion.expand(
        gallery[:1], gallery[:1], _l2, k=1, alpha=0, is_gallery=True
    )
    assert alone.tolist() == [[1.0]]


@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0, 1, 3]))
@settings(max_examples=25, deadline=None)
def test_by_loops(seed, k, alpha):
    rng = np.random.default_rng(seed)
    query, gallery = rng.normal(size=(5, 3)), rng.normal(size=(7, 3))
    found = query_expansion.expand(query, gallery, _l2, k=k, alpha=alpha)
    for row, x in zip(found, query, strict=True):
        nearest = sorted(range(7), key=lambda g: np.linalg.norm(x - gallery[g]))[:k]
        total, weights = x.copy(), 1.0
        for g in nearest:
            y = gallery[g]
            cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            weight = 1.0 if alpha == 0 else max(0.0, cosine) ** alpha
            total, weights = total + weight * y, weights + weight
        np.testing.assert_allclose(row, total / weights, rtol=1e-9)


def test_more_queries_than_a_block(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(10, 3)).astype(np.float32)
    whole = query_expansion.expand(x, x, _l2, k=2, alpha=3, is_gallery=True)
    monkeypatch.setattr(query_expansion, "_ROWS", 3)
    parts = query_expansion.expand(x, x, _l2, k=2, alpha=3, is_gallery=True)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    assert parts.dtype == np.float32
