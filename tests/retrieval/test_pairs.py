"""reid_jax/retrieval/pairs.py: what every sample of pairs has to be."""

import numpy as np
import pytest

import tests
from reid_jax.retrieval import pairs

GOLDEN = np.load(tests.GOLDEN / "xqda.npz")
PIDS, CAMIDS = GOLDEN["kissme.pids"], GOLDEN["kissme.camids"]
PUBLISHED = GOLDEN["xqda_pairs.first"], GOLDEN["xqda_pairs.second"]


@pytest.mark.parametrize(
    "chosen", [PUBLISHED, *(pairs.halves(PIDS, CAMIDS, seed=seed) for seed in range(5))]
)
def test_halves_of_each_person_under_two_cameras(chosen):
    first, second = chosen
    np.testing.assert_array_equal(PIDS[first], PIDS[second])
    assert (np.diff(PIDS[first]) >= 0).all()
    assert (CAMIDS[first] != CAMIDS[second]).all()
    assert len(np.unique(np.concatenate(chosen))) == 2 * len(first)  # one to one
    # At most half of each; nothing else than the same camera takes pairs away.
    limit = np.bincount(PIDS) // 2
    assert (np.bincount(PIDS[first], minlength=len(limit)) <= limit).all()
    assert 0.6 * limit.sum() < len(first) < limit.sum()


def test_halves_by_hand():
    pids, camids = np.array([7, 3, 7, 7, 3, 9]), np.array([0, 0, 1, 2, 0, 1])
    seen = set()
    for seed in range(60):
        first, second = pairs.halves(pids, camids, seed=seed)
        # Person 3 has one camera, person 9 one tracklet, person 7 one of 6 pairs.
        assert len(first) == 1
        seen.add((int(first[0]), int(second[0])))
    assert seen == {(0, 2), (2, 0), (0, 3), (3, 0), (2, 3), (3, 2)}


def test_the_seed_decides():
    first, second = (pairs.halves(PIDS, CAMIDS, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first[0], pairs.halves(PIDS, CAMIDS, seed=4)[0])


def test_two_cameras():
    camids = np.array([1, 0, 2, 1, 2])
    first, second = pairs.two_cameras(camids, 1, 2)
    np.testing.assert_array_equal(first, [0, 3])
    np.testing.assert_array_equal(second, [2, 4])
    with pytest.raises(ValueError, match="under camera 5; there are cameras 0, 1, 2"):
        pairs.two_cameras(camids, 0, 5)


def test_same_and_different():
    first, second, is_same = pairs.same_and_different(PIDS, CAMIDS, seed=0)
    np.testing.assert_array_equal(PIDS[first] == PIDS[second], is_same)
    assert (CAMIDS[first] != CAMIDS[second]).all()
    assert len(set(zip(first.tolist(), second.tolist(), strict=True))) == len(first)
    assert is_same.sum() == (~is_same).sum()
    i, j = np.triu_indices(len(PIDS), 1)
    everyone = (PIDS[i] == PIDS[j]) & (CAMIDS[i] != CAMIDS[j])
    assert is_same.sum() == everyone.sum()


def test_nothing_to_pair():
    none = np.zeros(0, int)
    with pytest.raises(ValueError, match="no tracklets to pair"):
        pairs.halves(none, none, seed=0)
    alone = np.arange(4)
    for chosen in (
        pairs.halves(alone, alone, seed=0),
        pairs.same_and_different(alone, alone, seed=0),
    ):
        assert all(len(side) == 0 for side in chosen)
