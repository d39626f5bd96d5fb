"""How sure a score is: over splits of a dataset, and over the queries of one."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from reid_jax.retrieval.ranking import Ranking

_DRAWS = 2**22  # queries drawn at a time: bounds the memory


@dataclasses.dataclass(frozen=True)
class Splits:
    """Means over the splits of a dataset, and standard deviations (n - 1)."""

    num_splits: int
    cmc: np.ndarray  # [R]
    cmc_std: np.ndarray  # [R]
    mean_ap: float
    mean_ap_std: float
    mean_inp: float
    mean_inp_std: float


@dataclasses.dataclass(frozen=True)
class Intervals:
    """Lower and upper ends of intervals of the level asked for."""

    cmc: np.ndarray  # [R, 2]
    mean_ap: np.ndarray  # [2]
    mean_inp: np.ndarray  # [2]


def mean_of_splits(splits: Sequence[Ranking]) -> Splits:
    """Scores of several splits as PRID-2011 and iLIDS-VID report them (ten).

    Each split counts the same, however many queries it has. The standard deviations
    of a single split are nan.
    Raises ValueError for no splits and for CMC curves of different lengths.
    """
    if not splits:
        raise ValueError("There are no splits to average.")
    lengths = sorted({len(split.cmc) for split in splits})
    if len(lengths) > 1:
        raise ValueError(
            f"CMC curves have {lengths} ranks: evaluate with one max_rank."
        )
    means, stds = {}, {}
    for name in ("cmc", "mean_ap", "mean_inp"):
        values = np.array([getattr(split, name) for split in splits])
        means[name] = values.mean(axis=0)
        one = np.full(values.shape[1:], np.nan)
        stds[f"{name}_std"] = values.std(axis=0, ddof=1) if len(splits) > 1 else one
    scalars = {k: v if v.ndim else float(v) for k, v in (means | stds).items()}
    return Splits(len(splits), **scalars)


def bootstrap(
    result: Ranking, *, level: float = 0.95, num_samples: int = 2000, seed: int = 0
) -> Intervals:
    """Percentile intervals of the scores, had other queries been drawn (Efron 1979).

    As many valid queries as there are, with replacement, `num_samples` times; the
    gallery stays.
    Raises ValueError for a level outside of (0, 1) and fewer than one sample.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level} must be between 0 and 1.")
    if num_samples < 1:
        raise ValueError(f"num_samples={num_samples} must be at least 1.")
    valid = np.isfinite(result.ap)
    ranks = np.arange(1, len(result.cmc) + 1)
    is_found = result.first_rank[valid][:, None] <= ranks
    values = np.column_stack([result.ap[valid], result.inp[valid], is_found])
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
