"""reid_jax/retrieval/distances.py, against loops in NumPy."""

import numpy as np
import pytest

from reid_jax.retrieval import distances

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(5, 8)).astype("f"), RNG.normal(size=(7, 8)).astype("f")


@pytest.mark.parametrize(
    ("name", "of_pair"),
    [
        ("squared_l2", lambda a, b: ((a - b) ** 2).sum()),
        ("l2", lambda a, b: np.linalg.norm(a - b)),
        ("cosine", lambda a, b: 1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)),
    ],
)
def test_every_pair(name, of_pair):
    x, y = X.astype(float), Y.astype(float)
    expected = [[of_pair(a, b) for b in y] for a in x]
    np.testing.assert_allclose(
        getattr(distances, name)(X, Y), expected, rtol=1e-5, atol=1e-6
    )


def test_a_zero_vector_is_at_cosine_distance_one():
    np.testing.assert_allclose(distances.cosine(np.zeros((1, 8), "f"), Y), 1.0)
