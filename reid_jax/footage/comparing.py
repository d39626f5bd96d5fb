"""Chooses how tracks are compared: metric, centring, threshold, constraints."""

import argparse
import dataclasses

import numpy as np

from reid_jax.errors import UserError
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.constraints import Constraints
from reid_jax.footage.flags import FALSE_LINKS
from reid_jax.retrieval import centering
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import calibration, metrics, scores


def metric(run: Run) -> str:
    """Returns the first metric of the run's config that needs no training."""
    return metrics.training_metric(run.config.eval.metric).name


def threshold(run: Run, given: argparse.Namespace) -> tuple[float, str]:
    """Returns the threshold that the flags name, and a sentence that explains it.

    Raises:
        UserError: the run has no threshold for the rate in the flags.
    """
    if given.threshold is not None:
        return given.threshold, f"Threshold {given.threshold:g} was given."
    rate = FALSE_LINKS if given.false_links is None else given.false_links
    dataset = given.calibration or run.config.data.name
    folder = run_folder.eval_folder(run.workdir, dataset)
    name = metric(run)
    calibrated = calibration.read_calibration(folder, name, weights=run.fingerprint)
    is_centered = _is_centered(run, given)
    if is_centered != (scores.CENTERED in calibrated.conditions):
        raise UserError(
            f"{folder} holds thresholds for embeddings "
            f"{'with' if is_centered else 'without'} the mean of their camera: "
            f"python evaluate.py --workdir={run.workdir} "
            f"--config.eval.center_cameras={is_centered} makes those that fit here."
        )
    distance, tpr = calibrated.threshold(rate)
    conditions = ", ".join(calibrated.conditions)
    where = calibrated.dataset + f" ({conditions})" * bool(conditions)
    return distance, (
        f"{name} distance up to {distance:.4g}: on {where}, this links {100 * rate:g} "
        f"% of the pairs of two persons, and {100 * tpr:.1f} % of the pairs of one "
        "person. Other footage has other rates."
    )


def as_compared(run: Run, seen: Appearances, given) -> Appearances:
    """Returns the tracks with the embeddings to compare, centred if configured."""
    if not _is_centered(run, given):
        return seen
    centered = centering.center_cameras(seen.embeddings, seen.cameras())
    return dataclasses.replace(seen, embeddings=centered)


def query_as_compared(run: Run, query: np.ndarray, seen: Appearances, given):
    """Returns the embedding of query pictures to compare; their camera is unknown."""
    if not _is_centered(run, given):
        return query
    return query - seen.embeddings.mean(axis=0)


def constraints(seen: Appearances, times: np.ndarray | None = None) -> Constraints:
    """Returns which pairs of tracks cannot be one person."""
    return Constraints(seen.frames, seen.recording, seen.cameras(), times)


def _is_centered(run: Run, given: argparse.Namespace) -> bool:
    return given.center_cameras or run.config.eval.center_cameras
