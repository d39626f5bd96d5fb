"""How sure a score is, and a difference of scores: over other queries and runs."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from reid_jax.retrieval.ranking import Ranking

_DRAWS = 2**22  # queries drawn at a time: bounds the memory


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Lower and upper ends of intervals of the level asked for."""

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
    """Percentile intervals of the scores, had other queries been drawn (Efron 1979).

    As many valid queries as there are, with replacement, `num_samples` times; the
    gallery stays. Of several runs that ranked the same queries, those of their mean.
    Raises ValueError for a level outside of (0, 1), fewer than one sample, and runs
    of different queries.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1.")
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples} must be at least 1.")
    results = [result] if isinstance(result, Ranking) else list(result)
    valid = np.isfinite(results[0].ap)
    if any(not np.array_equal(valid, np.isfinite(one.ap)) for one in results):
        raise ValueError("The runs have ranked different queries.")
    values = np.mean([_of_queries(one, valid) for one in results], axis=0)
    rng = np.random.default_rng(seed)
    num = len(values)
    size = max(1, _DRAWS // num)
    means = []
    for start in range(0, num_samples, size):
        # How often each query is drawn; its mean is a product of matrices.
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
    """Percentile intervals of how much better the runs `ours` are than `theirs`.

    Of the difference of the mean scores, had other persons (`persons` is that of each
    query, all of whose queries are drawn together) and other runs of each side been
    drawn: both with replacement. Of a few runs the intervals are somewhat too narrow:
    their spread is known no better than that. Raises ValueError when not all runs have
    ranked the same queries.
    """
    valid = np.isfinite(ours[0].ap)
    if any(not np.array_equal(valid, np.isfinite(o.ap)) for o in [*ours, *theirs]):
        raise ValueError("The runs have ranked different queries.")
    rng = np.random.default_rng(seed)
    _, person = np.unique(persons[valid], return_inverse=True)
    num = person.max() + 1
    times = rng.multinomial(num, np.full(num, 1 / num), size=num_samples)
    times = times[:, person] / times[:, person].sum(axis=1, keepdims=True)

    def drawn_means(runs: Sequence[Ranking]) -> np.ndarray:
        of_runs = np.array([times @ _of_queries(run, valid) for run in runs])
        share = rng.multinomial(
            len(runs), np.full(len(runs), 1 / len(runs)), num_samples
        )
        return np.einsum("rsk,sr->sk", of_runs, share / len(runs))

    ends = (1 - level) / 2, (1 + level) / 2
    better = drawn_means(ours) - drawn_means(theirs)
    ap, inp, *cmc = np.quantile(better, ends, axis=0).T
    return Intervals(np.array(cmc), ap, inp)


def _of_queries(result: Ranking, valid: np.ndarray) -> np.ndarray:
    """AP, INP and whether it was found by each rank, of every valid query."""
    ranks = np.arange(1, len(result.cmc) + 1)
    is_found = result.first_rank[valid][:, None] <= ranks
    return np.column_stack([result.ap[valid], result.inp[valid], is_found])
