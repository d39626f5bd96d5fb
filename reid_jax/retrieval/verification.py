"""Verification of pairs of tracklets: ROC and equal error rate.

A pair is accepted if its distance is at most a threshold. *Genuine* pairs show the same
person, *impostor* pairs two persons. TPR is the share of genuine pairs that are
accepted, FPR the share of impostor pairs. In the terms of ISO/IEC 19795-1, FPR is the
false match rate and 1 - TPR the false non-match rate.
"""

import dataclasses

import jax
import numpy as np
from jaxtyping import Integer, Real

from reid_jax.arrays import Array
from reid_jax.retrieval import pair_distances, ranking

RATES = (1e-1, 1e-2, 1e-3, 1e-4)
"""The FPRs in tables."""

_PER_DECADE = 24  # each rate is about 10 % above the previous one
GRID = tuple(
    float(f"{10 ** (i / _PER_DECADE - 5):.4g}") for i in range(5 * _PER_DECADE + 1)
)
"""The FPRs of a curve: 1e-5 to 1, evenly on a logarithmic axis, `RATES` among them."""


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold and its error rates.

    - `distance`: the threshold; None if no genuine pair is accepted.
    - `tpr`, `fpr`: the shares of genuine and impostor pairs that are accepted.
    """

    distance: float | None
    tpr: float
    fpr: float


@dataclasses.dataclass(frozen=True)
class Verification:
    """The complete ROC. Its TPR changes only at the distances of genuine pairs.

    - `distances` [n]: the distinct distances of genuine pairs, ascending.
    - `num_true`, `num_false` [n]: number of genuine and of impostor pairs up to each of
      these distances.
    - `num_genuine`, `num_impostor`: number of all genuine and of all impostor pairs.
    - `equal_error_rate`: the FPR at which FPR = 1 - TPR, on the ROC with straight lines
      between its points; nan without impostor pairs.
    - `equal_error_distance`: the smallest genuine distance at which at most that share
      of the genuine pairs is rejected; nan if there is none.
    """

    distances: np.ndarray
    num_true: np.ndarray
    num_false: np.ndarray
    num_genuine: int
    num_impostor: int
    equal_error_rate: float
    equal_error_distance: float

    def at(self, fpr: float | int) -> OperatingPoint | None:
        """Finds the threshold with the largest TPR whose FPR is at most `fpr`.

        Returns:
            The smallest threshold with that TPR. None if there are fewer than 1 / `fpr`
            impostor pairs: then no impostor pair could be accepted.

        Raises:
            ValueError: a rate outside of (0, 1].
        """
        if not 0 < fpr <= 1:
            raise ValueError(f"fpr={fpr} must be above 0 and at most 1.")
        allowed = _max_accepted(fpr, self.num_impostor)
        if allowed == 0:
            return None
        i = int(np.searchsorted(self.num_false, allowed, side="right")) - 1
        if i < 0:
            return OperatingPoint(None, 0.0, 0.0)
        return OperatingPoint(
            self.distances[i].item(),
            int(self.num_true[i]) / self.num_genuine,
            int(self.num_false[i]) / self.num_impostor,
        )


def evaluate(
    distances: Real[Array, "Q G"],
    query_pids: Integer[Array, "_"],
    gallery_pids: Integer[Array, "_"],
    query_camids: Integer[Array, "_"],
    gallery_camids: Integer[Array, "_"],
) -> Verification:
    """Computes the exact ROC over all pairs of a query and a gallery entry.

    Pairs of the same person under the same camera, and pairs with junk (pid -1), are
    excluded, as in `ranking.evaluate`. Distractors (pid 0) stay. The impostor pairs of
    queries without a genuine pair count. Distances are compared without rounding. Only
    the distances of genuine pairs are held at once; impostor pairs are sorted block by
    block.

    Raises:
        ValueError: lengths that do not fit, distances that are not finite, an empty
            side, or no genuine pair.
    """
    labels = ranking.as_labels(query_pids, gallery_pids, query_camids, gallery_camids)
    if not isinstance(distances, jax.Array):
        distances = np.asarray(distances)
    ranking.check_lengths(distances.shape, labels)
    pairs = pair_distances.PairDistances(distances, *labels)
    genuine, num_true = np.unique(pairs.genuine(), return_counts=True)
    if not len(genuine):
        raise ValueError(
            f"None of the {len(labels[0])} queries has a genuine pair in the gallery: "
            "the same pid under another camera. Are pids and camids in the right order?"
        )
    num_true = np.cumsum(num_true)
    # Number of impostor pairs below, and up to, each genuine distance.
    num_nearer, num_false = np.zeros((2, len(genuine)), np.int64)
    num_impostor = 0
    for block in pairs.impostors():
        num_impostor += int(np.searchsorted(block, np.inf))
        num_nearer += np.searchsorted(block, genuine, side="left")
        num_false += np.searchsorted(block, genuine, side="right")
    rate, i = _equal_error(num_true, num_nearer, num_false, num_impostor)
    distance = np.nan if i is None else genuine[i].item()
    num_genuine = int(num_true[-1])
    return Verification(
        genuine, num_true, num_false, num_genuine, num_impostor, rate, distance
    )


def _max_accepted(fpr: float | int, num: int) -> int:
    """Returns the largest k with k / num <= fpr, whatever the rounding of fpr * num."""
    k = min(int(fpr * num) + 1, num)
    while k / max(num, 1) > fpr:
        k -= 1
    return k


def _equal_error(
    num_true: Integer[np.ndarray, "_"],
    num_nearer: Integer[np.ndarray, "_"],
    num_false: Integer[np.ndarray, "_"],
    num_impostor: int,
) -> tuple[float, int | None]:
    """Returns the FPR where FPR + TPR = 1, and the position of the genuine distance.

    Between two genuine distances, impostor pairs move the ROC to the right. At a
    genuine distance, the ROC moves up, or diagonally if impostor pairs have the same
    distance (Fawcett 2006, "An introduction to ROC analysis").
    """
    if not num_impostor:
        return np.nan, None
    num_genuine = int(num_true[-1])
    # Compare (FPR + TPR) · num_genuine · num_impostor: integers, without rounding.
    total = num_genuine * num_impostor
    i = int(np.argmax(num_genuine * num_false + num_impostor * num_true >= total))
    true_before = int(num_true[i - 1]) if i else 0
    before = num_genuine * int(num_nearer[i]) + num_impostor * true_before
    if before >= total:  # crossed while moving to the right
        return 1 - true_before / num_genuine, i - 1 if i else None
    after = num_genuine * int(num_false[i]) + num_impostor * int(num_true[i])
    share = (total - before) / (after - before)
    step = int(num_false[i] - num_nearer[i])
    return (int(num_nearer[i]) + share * step) / num_impostor, i
