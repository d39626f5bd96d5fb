"""Which distance means the same person: a run's ROC, kept for other programs.

`evaluate.py` writes `calibration.json` into the run's evaluation folder: for each
metric that it scored, distance and TPR at the FPRs of a grid. Re-ranked and expanded
distances are left out: they depend on all of the gallery, so that no threshold fits
another one.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.retrieval import verification
from reid_jax.retrieval.verification import Verification
from reid_jax.runs.run import Run
from reid_jax.scoring import metrics
from reid_jax.scoring.scores import Scored, conditions

_FILE = "calibration.json"


class Threshold(NamedTuple):
    """Pairs up to `distance` are accepted; so is the share `tpr` of genuine ones."""

    distance: float
    tpr: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Distance and TPR at each FPR, by one metric on one dataset.

    - `step`, `weights`: the checkpoint, and the SHA-256 of its weights, as
      `Run.fingerprint`;
    - `conditions`: what was changed of query and gallery, in words;
    - `num_genuine`, `num_impostor`: pairs of one person, and of two;
    - `fpr`, `tpr`, `distance` [n]: ascending; distance is nan where TPR is 0.
    """

    dataset: str
    protocol: str
    step: int
    weights: str
    conditions: list[str]
    metric: str
    num_genuine: int
    num_impostor: int
    fpr: np.ndarray
    tpr: np.ndarray
    distance: np.ndarray

    def threshold(self, fpr: float | int) -> Threshold:
        """The threshold whose share of accepted impostor pairs was at most `fpr`.

        It is that of the nearest rate of the grid that is not above `fpr`: about a
        tenth lower at most. Raises UserError for a rate that cannot be, one that the
        pairs were too few for, and one at which no genuine pair was accepted.
        """
        about = f"FPR {fpr:g} by {self.metric} on {self.dataset}"
        if not 0 < fpr <= 1:
            raise UserError(f"{about}: a rate is above 0 and at most 1.")
        i = int(np.searchsorted(self.fpr, fpr, side="right")) - 1
        if i < 0:
            least = f"{self.fpr[0]:g}" if len(self.fpr) else "none"
            raise UserError(
                f"{about}: the smallest calibrated rate is {least}; there were "
                f"{self.num_impostor:,} pairs of different persons."
            )
        if np.isnan(self.distance[i]):
            reached = self.fpr[~np.isnan(self.distance)]
            raise UserError(
                f"{about}: no pair of one person was as near as that; the smallest "
                f"rate that has a threshold is {reached[0]:g}."
            )
        return Threshold(float(self.distance[i]), float(self.tpr[i]))


def is_kept(scored: Scored, protocol: str) -> bool:
    """Whether a score has thresholds for other galleries, under that protocol."""
    metric = scored.metric
    of_pairs = not (metric.rerank or metrics.is_expanded(metric.name))
    is_plain = scored.method == "trained" and of_pairs
    return is_plain and scored.protocol == protocol


def write(run: Run, protocol: str, found: Mapping[str, Verification]) -> None:
    """Writes the curves of the trained network by each metric, under one protocol.

    Curves by other metrics that are there already stay if they are of the same weights,
    tracklets and protocol.
    """
    changed = conditions(run.config.eval)
    made_from = [run.cache_key, protocol, changed]
    path = run.folder / _FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        metrics = stored["metrics"] if stored["made_from"] == made_from else {}
    except (OSError, ValueError, LookupError, TypeError):  # none, or damaged
        metrics = {}
    metrics |= {metric: _curve(one) for metric, one in found.items()}
    content = {
        "dataset": run.source.name,
        "protocol": protocol,
        "step": run.step,
        "weights": run.fingerprint,
        "conditions": changed,
        "metrics": metrics,
        "made_from": made_from,
    }
    files.write_json(path, content)


def read_calibration(
    folder: pathlib.Path, metric: str = "l2", *, weights: str | None = None
) -> Calibration:
    """What `evaluate.py` kept in a run's evaluation folder (`Run.folder`).

    `weights` is the fingerprint of those in use (`Run.fingerprint`).
    Raises UserError, with the command that mends it, where there is no calibration by
    that metric, where it is damaged, and where it belongs to other weights.
    """
    path = folder / _FILE
    command = f"python evaluate.py --workdir={folder.parent.parent}"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        command += f" --config.data.name={stored['dataset']}"
        command += f" --config.eval.metric={metric}"
        if weights not in (None, stored["weights"]):
            raise UserError(
                f"{path} is of other weights (step {stored['step']}): {command} makes "
                "it for those in use."
            )
        if metric not in stored["metrics"]:
            known = ", ".join(stored["metrics"])
            raise UserError(
                f"{path} has no thresholds by {metric}, only by {known}: {command} "
                "adds them."
            )
        names = ("dataset", "protocol", "step", "weights", "conditions")
        curve = stored["metrics"][metric]
        return Calibration(
            *(stored[name] for name in names),
            metric,
            curve["num_genuine"],
            curve["num_impostor"],
            *(np.array(curve[name], float) for name in ("fpr", "tpr", "distance")),
        )
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no thresholds ({_FILE}): {command} makes them, with "
            "--config.data.name=NAME for another dataset than the run's."
        ) from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} cannot be read ({error!r}): {command} makes it again."
        ) from None


def _curve(found: Verification) -> dict:
    points = [(fpr, point) for fpr in verification.GRID if (point := found.at(fpr))]
    return {
        "num_genuine": found.num_genuine,
        "num_impostor": found.num_impostor,
        "fpr": [fpr for fpr, _ in points],
        "tpr": [point.tpr for _, point in points],
        "distance": [point.distance for _, point in points],
    }
