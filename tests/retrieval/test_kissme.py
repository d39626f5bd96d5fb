"""reid_jax/retrieval/kissme.py, against the code that MARS's own scores come from."""

import numpy as np
import pytest

import tests
from reid_jax.retrieval import kissme

GOLDEN = np.load(tests.GOLDEN / "xqda.npz")
FEATURES, FIRST, SECOND, FLAG, GALLERY, PROBE = (
    GOLDEN[f"kissme.{k}"]
    for k in ("features", "idxa", "idxb", "flag", "test_gallery", "test_probe")
)
PAIRS = (FIRST, SECOND, FLAG.astype(bool))


@pytest.mark.parametrize("dim", [12, 25])
@pytest.mark.parametrize(
    ("metric", "of_metric", "of_distances"),
    [
        ("kissme", "UMUt", "dist_kissme"),
        ("mahalanobis", "mahal_UMUt", "dist_mahal"),
        ("euclidean", None, "dist_pca_euclidean"),
    ],
)
def test_metric_and_distances_of_the_published_code(
    dim, metric, of_metric, of_distances
):
    golden = {
        k.removeprefix(f"kissme.dims{dim}."): GOLDEN[k]
        for k in GOLDEN
        if k.startswith(f"kissme.dims{dim}.")
    }
    model = kissme.fit(FEATURES, *PAIRS, dim=dim, pair_step=10, metric=metric)
    assert model.projection.shape == (40, dim)
    found = model.projection @ model.metric @ model.projection.T
    if of_metric:
        np.testing.assert_allclose(found, golden[of_metric], rtol=0, atol=1e-8)
    if metric == "kissme":
        assert model.num_clipped == golden["clipped_eigenvalues"]
        assert np.linalg.eigvalsh(model.metric)[0] > 0
    found = kissme.distances(model, PROBE, GALLERY)
    expected = golden[of_distances].T  # published: [gallery, probe]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8 * expected.max())


def test_all_pairs_are_used_unless_told():
    all_pairs = kissme.fit(FEATURES, *PAIRS, dim=12)
    every_third = kissme.fit(FEATURES, *PAIRS, dim=12, pair_step=3)
    thinned = kissme.fit(FEATURES, *(a[::3] for a in PAIRS), dim=12)
    np.testing.assert_array_equal(every_third.metric, thinned.metric)
    assert not np.allclose(all_pairs.metric, thinned.metric, rtol=1e-2)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((FEATURES, FIRST[1:], SECOND, PAIRS[2]), {}, r"first \(899\), second \(900\)"),
        ((FEATURES, FIRST + 240, SECOND, PAIRS[2]), {}, "first holds .* have 0 to 239"),
        ((FEATURES[:0], *PAIRS), {}, "There are no training embeddings"),
        ((FEATURES * np.inf, *PAIRS), {}, "240 training embeddings .* not finite"),
        ((FEATURES, FIRST, SECOND, PAIRS[2] | True), {}, "900 .* different persons"),
        ((FEATURES, FIRST, SECOND, PAIRS[2] & False), {}, "900 .* the same person"),
        ((FEATURES, *PAIRS), {"dim": 41}, "dim=41 must be from 1 to 40"),
        ((FEATURES, *PAIRS), {"dim": 0}, "dim=0 must be from 1 to 40"),
        ((FEATURES, *PAIRS), {"pair_step": 0}, "pair_step=0 must be at least 1"),
        ((FEATURES, *PAIRS), {"pair_step": 90}, "dim=12 is too large"),
        ((FEATURES, *PAIRS), {"metric": "l2"}, "known: kissme, mahalanobis, euclidean"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_bad_input(arguments, settings, message):
    with pytest.raises(ValueError, match=message):
        kissme.fit(*arguments, **{"dim": 12, **settings})
