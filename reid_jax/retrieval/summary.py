"""Computes confidence intervals of scores and of differences of scores."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from reid_jax.retrieval.ranking import Ranking

_DRAWS = 2**22  # number of queries drawn at a time: bounds the memory


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Lower and upper ends of confidence intervals, in [0, 1]."""

    cmc: np.ndarray  # [R, 2]
    mean_ap: np.ndarray  # [2]
    mean_inp: np.ndarray  # [2]


def bootstrap(
    result: Ranking | Sequence[Ranking],
    *,
    level: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Computes bootstrap percentile intervals of the scores (Efron 1979).

    The valid queries are resampled with replacement, `num_samples` times. The gallery
    stays the same.

    Args:
        result: a ranking, or those of several runs for the intervals of their mean.
        level: confidence level, in (0, 1).
        num_samples: number of bootstrap samples.
        seed: seed of the samples.

    Raises:
        ValueError: a level outside of (0, 1), no sample, or runs of different queries.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1.")
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples} must be at least 1.")
    results = [result] if isinstance(result, Ranking) else list(result)
    valid = np.isfinite(results[0].ap)
    if any(not np.array_equal(valid, np.isfinite(ranking.ap)) for ranking in results):
        raise ValueError("The runs have ranked different queries.")
    values = np.mean([_query_scores(ranking, valid) for ranking in results], axis=0)
    rng = np.random.default_rng(seed)
    num = len(values)
    size = max(1, _DRAWS // num)
    means = []
    for start in range(0, num_samples, size):
        # How often each query is drawn; the means are then a matrix product.
        times = rng.multinomial(
            num, np.full(num, 1 / num), size=min(size, num_samples - start)
        )
        means.append(times @ values / num)
    ends = (1 - level) / 2, (1 + level) / 2
    ap, inp, *cmc = np.quantile(np.concatenate(means), ends, axis=0).T
    return Intervals(np.array(cmc), ap, inp)


def difference(
    ours: Sequence[Ranking],
    theirs: Sequence[Ranking],
    persons: Int[np.ndarray, "Q"],
    *,
    level: float = 0.95,
    num_samples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Computes bootstrap intervals of the mean of `ours` minus the mean of `theirs`.

    Persons and runs are resampled with replacement. With few runs, the intervals are
    somewhat too narrow, because few runs underestimate the spread between runs.

    Args:
        ours: the rankings of some runs.
        theirs: the rankings of the runs they are compared with.
        persons: the person of each query. All queries of a person are drawn together.
        level: confidence level, in (0, 1).
        num_samples: number of bootstrap samples.
        seed: seed of the samples.

    Raises:
        ValueError: the runs have ranked different queries.
    """
    valid = np.isfinite(ours[0].ap)
    if any(
        not np.array_equal(valid, np.isfinite(ranking.ap))
        for ranking in [*ours, *theirs]
    ):
        raise ValueError("The runs have ranked different queries.")
    rng = np.random.default_rng(seed)
    _, person = np.unique(persons[valid], return_inverse=True)
    num = person.max() + 1
    times = rng.multinomial(num, np.full(num, 1 / num), size=num_samples)
    times = times[:, person] / times[:, person].sum(axis=1, keepdims=True)

    def drawn_means(runs: Sequence[Ranking]) -> np.ndarray:
        run_means = np.array([times @ _query_scores(run, valid) for run in runs])
        share = rng.multinomial(
            len(runs), np.full(len(runs), 1 / len(runs)), num_samples
        )
        return np.einsum("rsk,sr->sk", run_means, share / len(runs))

    ends = (1 - level) / 2, (1 + level) / 2
    differences = drawn_means(ours) - drawn_means(theirs)
    ap, inp, *cmc = np.quantile(differences, ends, axis=0).T
    return Intervals(np.array(cmc), ap, inp)


def _query_scores(result: Ranking, valid: np.ndarray) -> np.ndarray:
    """Returns [AP, INP, is found by rank 1, 2, …] for each valid query."""
    ranks = np.arange(1, len(result.cmc) + 1)
    is_found = result.first_rank[valid][:, None] <= ranks
    return np.column_stack([result.ap[valid], result.inp[valid], is_found])
