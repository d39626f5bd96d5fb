"""ROC curves and operating points in files and sentences."""

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from reid_jax.retrieval import verification
from reid_jax.retrieval.verification import Verification

Curve = dict[float, float]
"""FPR → TPR, for those rates of `verification.GRID` that the pairs can tell."""


def summary(found: Verification) -> dict[str, Any]:
    """What `scores.json` holds; None for a rate that the pairs are too few to tell."""
    points = {f"{fpr:g}": found.at(fpr) for fpr in verification.RATES}
    return {
        "num_genuine": found.num_genuine,
        "num_impostor": found.num_impostor,
        "at_fpr": {
            fpr: point and {"tpr": point.tpr, "distance": point.distance}
            for fpr, point in points.items()
        },
        "equal_error_rate": _or_none(found.equal_error_rate),
        "equal_error_distance": _or_none(found.equal_error_distance),
    }


def sentence(found: Verification) -> str:
    """TPR at an FPR of 1 %, its distance, and the equal error rate, in words.

    Of fewer than 100 impostor pairs, at the smallest rate that they can tell.
    """
    asked = (0.01, 0.1, 1)
    fpr = next((fpr for fpr in asked if found.at(fpr) is not None), None)
    if fpr is None:
        return "no pairs of different persons"
    point = found.at(fpr)
    limit = "" if point.distance is None else f" (distance up to {point.distance:.4g})"
    return (
        f"TPR {100 * point.tpr:.1f} % at FPR {100 * fpr:g} %{limit}, "
        f"equal error rate {100 * found.equal_error_rate:.1f} %"
    )


def curve(found: Verification) -> Curve:
    """Its TPR on the grid."""
    points = {fpr: found.at(fpr) for fpr in verification.GRID}
    return {fpr: point.tpr for fpr, point in points.items() if point is not None}


def lines(curves: Mapping[str, Verification]) -> list[list]:
    """Lines of a CSV file: for each FPR of the grid, TPR and distance of each curve.

    A cell is empty where the pairs are too few, a line is left out where all cells are.
    Distances are written in full: a rounded one would accept other pairs.
    """
    titles = [title for name in curves for title in (name, f"{name}: distance")]
    found = [["fpr", *titles]]
    for fpr in verification.GRID:
        points = [one.at(fpr) for one in curves.values()]
        if any(points):
            cells = [(p.tpr, p.distance) if p else (None, None) for p in points]
            both = (
                (None if tpr is None else round(tpr, 6), distance)
                for tpr, distance in cells
            )
            found.append([fpr, *(cell for pair in both for cell in pair)])
    return found


def read_curves(path: pathlib.Path) -> dict[str, Curve]:
    """The curves of a file of such lines, without the distances."""
    with path.open(newline="", encoding="utf-8") as file:
        titles, *rows = csv.reader(file)
    return {
        titles[i]: {float(row[0]): float(row[i]) for row in rows if row[i]}
        for i in range(1, len(titles), 2)
    }


def _or_none(value: float) -> float | None:
    """For JSON, which knows no nan."""
    return None if np.isnan(value) else value
