"""reid_jax/retrieval/verification.py, by hand and against every threshold in turn."""

import itertools
from fractions import Fraction

import hypothesis
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies

from reid_jax.retrieval import distances as distances_
from reid_jax.retrieval import verification
from reid_jax.retrieval.verification import OperatingPoint


def _two_queries(row_of_genuine, row_of_impostors):
    """A problem with these genuine distances, and these impostor ones beside them."""
    row = np.array([[*row_of_genuine, *row_of_impostors]])
    pids = np.repeat([1, 2], [len(row_of_genuine), len(row_of_impostors)])
    return row, np.array([1]), pids, np.array([0]), np.ones(len(pids), int)


def test_by_hand():
    distances = np.array(
        [
            # own camera, genuine, another, distractor, junk
            [0.0, 1.0, 2.0, 3.0, 0.0],
            [4.0, 5.0, 2.0, 0.5, 0.0],
            [6.0, 7.0, 8.0, 9.0, 0.0],  # nobody's query: impostor pairs only
        ]
    )
    labels = (
        np.array([1, 2, 9]),
        np.array([1, 1, 2, 0, -1]),
        np.array([0, 0, 0]),
        np.array([0, 1, 1, 1, 1]),
    )
    found = verification.evaluate(distances, *labels)
    # Genuine: 1 and 2. Impostors: 2 3; 4 5 0.5; 6 7 8 9.
    assert found.distances.tolist() == [1.0, 2.0]
    assert found.num_true.tolist() == [1, 2]
    assert found.num_false.tolist() == [1, 2]
    assert (found.num_genuine, found.num_impostor) == (2, 9)
    assert found.at(1 / 9) == OperatingPoint(1.0, 0.5, 1 / 9)
    assert found.at(0.2) == OperatingPoint(1.0, 0.5, 1 / 9)
    assert found.at(2 / 9) == found.at(1) == OperatingPoint(2.0, 1.0, 2 / 9)
    assert found.at(0.1) is None  # less than one pair of nine
    # At 2 one pair of each kind is accepted at once: from (1/9, 1/2) to (2/9, 1).
    assert found.equal_error_rate == pytest.approx(2 / 11)
    assert found.equal_error_distance == 2.0


def test_perfect_and_reversed():
    found = verification.evaluate(*_two_queries([1.0, 2.0], [3.0, 4.0, 5.0]))
    assert found.at(0.5) == OperatingPoint(2.0, 1.0, 0.0)
    assert (found.equal_error_rate, found.equal_error_distance) == (0.0, 2.0)
    found = verification.evaluate(*_two_queries([3.0], [1.0, 2.0]))
    assert found.at(0.5) == OperatingPoint(None, 0.0, 0.0)
    assert found.at(1) == OperatingPoint(3.0, 1.0, 1.0)
    assert found.equal_error_rate == 1.0
    assert np.isnan(found.equal_error_distance)


def test_equal_distances_are_accepted_together():
    found = verification.evaluate(*_two_queries([2.0, 2.0], [2.0, 2.0, 3.0, 3.0]))
    assert found.at(0.25) == OperatingPoint(None, 0.0, 0.0)
    assert found.at(0.5) == OperatingPoint(2.0, 1.0, 0.5)
    # The straight line from (0, 0) to (1/2, 1) meets the diagonal at 1/3.
    assert found.equal_error_rate == pytest.approx(1 / 3)


def test_too_few_pairs_have_no_figure():
    thousand = np.arange(10.0, 1010.0)
    found = verification.evaluate(*_two_queries([1.0], thousand))
    assert [found.at(f) is None for f in verification.RATES] == [
        *(False, False, False),
        True,
    ]
    found = verification.evaluate(*_two_queries([1.0, 2.0], []))
    assert found.num_impostor == 0
    assert found.at(1) is None and np.isnan(found.equal_error_rate)
    problem = list(_two_queries([], [1.0]))
    with pytest.raises(ValueError, match="None of the 1 queries has a genuine pair"):
        verification.evaluate(*problem)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_distances_that_are_not_finite(bad):
    with pytest.raises(ValueError, match="1 distances are not finite among queries 0"):
        verification.evaluate(*_two_queries([1.0], [2.0, bad]))


@pytest.mark.parametrize("fpr", [0, -0.1, 1.5, np.nan])
def test_rates_that_cannot_be(fpr):
    found = verification.evaluate(*_two_queries([1.0], [2.0]))
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        found.at(fpr)


def test_rates_are_not_rounded_away():
    # 0.29 * 100 is 28.999999999999996, and yet 29 of 100 pairs are 0.29.
    for num in (7, 29, 100, 700, 12345):
        impostors = np.arange(1.0, num + 1)
        problem = _two_queries([*(impostors + 0.5)], impostors)
        found = verification.evaluate(*problem)
        for k in range(1, num, max(1, num // 50)):
            assert found.at(k / num).fpr == k / num
        assert found.at(1).fpr == 1


def test_float64_and_integers_are_not_rounded():
    found = verification.evaluate(*_two_queries([1.0], [1 + 1e-12, 5.0]))
    assert found.at(0.5) == OperatingPoint(1.0, 1.0, 0.0)
    found = verification.evaluate(*_two_queries([2**30], [2**30 + 1]))
    assert found.at(1) == OperatingPoint(2.0**30, 1.0, 0.0)
    found = verification.evaluate(*_two_queries([-0.0], [0.0, -1.0]))  # 0 is -0
    assert found.at(1).fpr == 1.0


def _random(rng, num_queries, num_gallery, levels, num_persons=6):
    labels = (
        rng.integers(-1, num_persons, num_queries),
        rng.integers(-1, num_persons, num_gallery),
        rng.integers(0, 3, num_queries),
        rng.integers(0, 3, num_gallery),
    )
    distances = rng.integers(levels, size=(num_queries, num_gallery)) / levels - 0.5
    return distances.astype(np.float32), *labels


def _split(distances, q_pids, g_pids, q_camids, g_camids):
    """Genuine and impostor distances, pair by pair."""
    genuine, impostors = [], []
    for q, row in enumerate(distances.tolist()):
        for g, distance in enumerate(row):
            if -1 in (q_pids[q], g_pids[g]):
                continue
            if q_pids[q] != g_pids[g]:
                impostors.append(distance)
            elif q_camids[q] != g_camids[g]:
                genuine.append(distance)
    return genuine, impostors


def _by_every_threshold(genuine, impostors):
    """(FPR, TPR, threshold) of accepting nothing, then of each distance in turn."""
    points = [(Fraction(0), Fraction(0), None)]
    for t in sorted({*genuine, *impostors}):
        false = sum(d <= t for d in impostors)
        true = sum(d <= t for d in genuine)
        points.append(
            (Fraction(false, len(impostors)), Fraction(true, len(genuine)), t)
        )
    return points


def _crossing(points):
    """Finds where straight lines through the points have FPR + TPR = 1."""
    for (x0, y0, _), (x1, y1, _) in itertools.pairwise(points):
        if x1 + y1 >= 1:
            return x0 + (x1 - x0) * (1 - x0 - y0) / (x1 + y1 - x0 - y0)
    raise AssertionError("the last point accepts all")


@hypothesis.given(
    seed=strategies.integers(0, 2**31),
    levels=strategies.sampled_from([1, 3, 20, 100000]),
    num_persons=strategies.sampled_from([2, 6, 15]),
)
@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
def test_every_threshold(seed, levels, num_persons):
    rng = np.random.default_rng(seed)
    problem = _random(rng, 6, 30, levels, num_persons)
    genuine, impostors = _split(*problem)
    hypothesis.assume(genuine and impostors)
    found = verification.evaluate(*problem)
    points = _by_every_threshold(genuine, impostors)
    assert (found.num_genuine, found.num_impostor) == (len(genuine), len(impostors))
    for fpr in (0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0):
        point = found.at(fpr)
        if fpr * len(impostors) < 1:
            assert point is None
            continue
        within = [p for p in points if float(p[0]) <= fpr]
        best = max(p[1] for p in within)
        first = next(p for p in within if p[1] == best)
        assert point == OperatingPoint(first[2], float(best), float(first[0]))
    rate = _crossing(points)
    assert found.equal_error_rate == pytest.approx(float(rate), abs=1e-12)
    enough = [t for _, tpr, t in points[1:] if 1 - tpr <= rate and t in genuine]
    expected = enough[0] if rate < 1 else np.nan
    np.testing.assert_equal(found.equal_error_distance, expected)


@hypothesis.given(seed=strategies.integers(0, 2**31))
@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
def test_properties(seed):
    rng = np.random.default_rng(seed)
    distances, *labels = _random(rng, 20, 100, 60)
    one = verification.evaluate(distances, *labels)
    # Neither the order of the gallery counts, nor more than that of the distances.
    o = rng.permutation(100)
    q_pids, g_pids, q_camids, g_camids = labels
    other = verification.evaluate(
        np.exp(distances[:, o]), q_pids, g_pids[o], q_camids, g_camids[o]
    )
    np.testing.assert_array_equal(one.num_true, other.num_true)
    np.testing.assert_array_equal(one.num_false, other.num_false)
    assert one.equal_error_rate == other.equal_error_rate
    assert (np.diff(one.num_true) > 0).all() and (np.diff(one.num_false) >= 0).all()
    # The curve does not decrease, and no point lies to the right of its rate.
    curve = [(f, point) for f in verification.GRID if (point := one.at(f))]
    assert all(point.fpr <= f for f, point in curve)
    tpr = [point.tpr for _, point in curve]
    assert tpr == sorted(tpr) and tpr[-1] == 1


def test_blocks_of_queries_change_nothing(monkeypatch):
    rng = np.random.default_rng(3)
    problem = _random(rng, 150, 400, 50)
    whole = verification.evaluate(*problem)
    # Blocks of 64; the last begins with queries of the one before.
    monkeypatch.setattr(distances_, "_BLOCK_VALUES", 400 * 64)
    parts = verification.evaluate(*problem)
    np.testing.assert_array_equal(parts.num_false, whole.num_false)
    assert parts.num_impostor == whole.num_impostor
    assert parts.equal_error_rate == whole.equal_error_rate
    on_device = verification.evaluate(jnp.asarray(problem[0]), *problem[1:])
    np.testing.assert_array_equal(on_device.num_false, whole.num_false)


def test_the_distances_given_stay_as_they_are():
    distances, *labels = _random(np.random.default_rng(0), 9, 30, 9)
    before = distances.copy()
    verification.evaluate(distances, *labels)
    np.testing.assert_array_equal(distances, before)


def test_grid():
    assert len(verification.GRID) == 121
    assert verification.GRID[0] == 1e-5 and verification.GRID[-1] == 1
    assert set(verification.RATES) < set(verification.GRID)
    steps = np.divide(verification.GRID[1:], verification.GRID[:-1])
    assert steps.min() > 1.09 and steps.max() < 1.11
