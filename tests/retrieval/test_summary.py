"""reid_jax/retrieval/summary.py: bootstrap intervals."""

import dataclasses

import numpy as np
import pytest

from reid_jax.retrieval import ranking, summary


def _result(seed, num_queries=60, max_rank=10):
    rng = np.random.default_rng(seed)
    return ranking.evaluate(
        rng.random((num_queries, 100)),
        rng.integers(1, 9, num_queries),
        rng.integers(0, 9, 100),
        np.zeros(num_queries, int),
        rng.integers(0, 2, 100),
        max_rank=max_rank,
    )


def _of_ap(ap, first_rank=None) -> ranking.Ranking:
    """Queries of these AP, by default each with its first right match at rank 1."""
    ap = np.asarray(ap, float)
    return dataclasses.replace(
        _result(0),
        cmc=np.ones(5),
        mean_ap=float(ap.mean()),
        ap=ap,
        num_valid=len(ap),
        inp=ap,
        mean_inp=float(ap.mean()),
        first_rank=np.ones(len(ap)) if first_rank is None else first_rank,
    )


def test_intervals_are_those_of_the_normal_approximation():
    result = _result(0, num_queries=400)
    found = summary.bootstrap(result, num_samples=4000)
    values = {
        "mean_ap": result.ap,
        "mean_inp": result.inp,
        "cmc": result.first_rank <= 3,
    }
    for name, of_queries in values.items():
        low, high = found.cmc[2] if name == "cmc" else getattr(found, name)
        half = 1.96 * np.std(of_queries) / np.sqrt(len(of_queries))
        np.testing.assert_allclose((high + low) / 2, of_queries.mean(), atol=half / 5)
        np.testing.assert_allclose((high - low) / 2, half, rtol=0.1)


def test_intervals_cover_the_scores_of_other_queries():
    # 95 % of the intervals hold the mean of the population, give or take.
    rng = np.random.default_rng(0)
    held = 0
    for seed in range(200):
        ap = rng.beta(2, 1, 100)
        result = _of_ap(ap, 1 / ap)
        low, high = summary.bootstrap(result, num_samples=400, seed=seed).mean_ap
        held += low <= 2 / 3 <= high
    assert 180 <= held <= 198


def test_queries_without_a_match_do_not_count():
    result = _result(0)
    longer = {
        name: np.append(getattr(result, name), [np.nan] * 50)
        for name in ("ap", "inp", "first_rank")
    }
    more = dataclasses.replace(result, **longer)
    one, other = summary.bootstrap(result), summary.bootstrap(more)
    np.testing.assert_array_equal(one.mean_ap, other.mean_ap)
    np.testing.assert_array_equal(one.cmc, other.cmc)


def test_bad_input():
    with pytest.raises(ValueError, match=r"level=1\.0 must be between 0 and 1"):
        summary.bootstrap(_result(0), level=1.0)
    with pytest.raises(ValueError, match="num_samples=0"):
        summary.bootstrap(_result(0), num_samples=0)


def test_a_difference_is_paired():
    # However much persons differ, the second run is better by 0.1 for each of them.
    ap = np.random.default_rng(0).uniform(0, 0.9, 60)
    found = summary.difference([_of_ap(ap + 0.1)], [_of_ap(ap)], np.arange(60))
    np.testing.assert_allclose(found.mean_ap, 0.1, atol=1e-12)
    np.testing.assert_allclose(found.cmc, 0, atol=1e-12)
    other = np.random.default_rng(1).uniform(0, 0.9, 60)
    low, high = summary.difference(
        [_of_ap(ap)], [_of_ap(other)], np.arange(60), num_samples=4000
    ).mean_ap
    half = 1.96 * np.std(ap - other) / np.sqrt(60)
    np.testing.assert_allclose((high - low) / 2, half, rtol=0.1)
    np.testing.assert_allclose((high + low) / 2, (ap - other).mean(), atol=half / 5)


def test_a_difference_is_less_sure_of_few_persons_and_of_runs_that_differ():
    rng = np.random.default_rng(0)
    ap, other = rng.uniform(0, 0.9, (2, 60))

    def width(ours, theirs, persons):
        low, high = summary.difference(ours, theirs, persons).mean_ap
        return high - low

    # Six queries of a person that are all alike are worth one.
    alike = np.repeat(ap[:10], 6)
    one_each = width([_of_ap(alike)], [_of_ap(alike * 0.5)], np.arange(60))
    six_each = width(
        [_of_ap(alike)], [_of_ap(alike * 0.5)], np.repeat(np.arange(10), 6)
    )
    assert six_each == pytest.approx(one_each * 6**0.5, rel=0.2)
    # Runs 0.1 apart: the mean of two drawn ones has a deviation of 0.05 / sqrt(2).
    spread = [_of_ap(ap), _of_ap(ap + 0.1)]
    found = width(spread, [_of_ap(ap)], np.arange(60))
    assert found == pytest.approx(0.1)
    with pytest.raises(ValueError, match="different queries"):
        summary.difference(
            [_of_ap(ap)], [_of_ap(np.where(other > 0.5, np.nan, other))], np.arange(60)
        )
