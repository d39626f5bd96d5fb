"""Distance thresholds for "the same person", stored in `calibration.json`.

`evaluate.py` writes the file into the run's evaluation folder: for each metric that it
scored, distance and TPR at the FPRs of a grid. Re-ranked and expanded distances are
left out: they depend on the whole gallery, so no threshold fits another gallery.
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
    """Pairs up to `distance` are accepted; `tpr` is the accepted share of genuine ones.

    The share is that of the calibration's pairs.
    """

    distance: float
    tpr: float


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Distance and TPR at each FPR, by one metric on one dataset.

    - `step`, `weights`: step of the checkpoint, and the SHA-256 of its weights
      (`Run.fingerprint`);
    - `conditions`: how query and gallery were changed, in words;
    - `num_genuine`, `num_impostor`: numbers of pairs of the same person, and of
      different persons;
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
        """Threshold at which the share of accepted impostor pairs was at most `fpr`.

        The grid's nearest rate that is not above `fpr` is used: at most about a tenth
        lower.

        Raises:
            UserError: `fpr` is outside (0, 1], the calibration had too few pairs for
                it, or no genuine pair was accepted at it.
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
            reachable = self.fpr[~np.isnan(self.distance)]
            raise UserError(
                f"{about}: no pair of one person was as near as that; the smallest "
                f"rate that has a threshold is {reachable[0]:g}."
            )
        return Threshold(float(self.distance[i]), float(self.tpr[i]))


def has_thresholds(scored: Scored, protocol: str) -> bool:
    """Whether a score's thresholds are stored: they hold for other galleries too."""
    metric = scored.metric
    is_pairwise = not (metric.rerank or metrics.is_expanded(metric.name))
    is_trained = scored.method == "trained"
    return is_trained and is_pairwise and scored.protocol == protocol


def write(run: Run, protocol: str, curves: Mapping[str, Verification]) -> None:
    """Writes the trained network's thresholds by each metric, under one protocol.

    The file keeps thresholds by other metrics if they belong to the same weights,
    tracklets and protocol.

    Args:
        run: the run that was scored.
        protocol: under which it was scored.
        curves: the ROC by the name of each metric.
    """
    changed = conditions(run.config.eval)
    made_from = [run.cache_key, protocol, changed]
    path = run.folder / _FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        metrics = stored["metrics"] if stored["made_from"] == made_from else {}
    except (OSError, ValueError, LookupError, TypeError):  # missing or damaged
        metrics = {}
    metrics |= {metric: _curve(curve) for metric, curve in curves.items()}
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
    """Reads the calibration by `metric` that `evaluate.py` wrote.

    Args:
        folder: the run's evaluation folder (`Run.folder`).
        metric: name of the metric.
        weights: fingerprint of the weights in use (`Run.fingerprint`), to be checked;
            None: not checked.

    Raises:
        UserError: there is no calibration by that metric, it is damaged, or it belongs
            to other weights; the message has the command that helps.
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
            stored_metrics = ", ".join(stored["metrics"])
            raise UserError(
                f"{path} has no thresholds by {metric}, only by {stored_metrics}: "
                f"{command} adds them."
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


def _curve(roc: Verification) -> dict:
    """The fields of `Calibration` that one metric has in the file."""
    points = [(fpr, point) for fpr in verification.GRID if (point := roc.at(fpr))]
    return {
        "num_genuine": roc.num_genuine,
        "num_impostor": roc.num_impostor,
        "fpr": [fpr for fpr, _ in points],
        "tpr": [point.tpr for _, point in points],
        "distance": [point.distance for _, point in points],
    }
