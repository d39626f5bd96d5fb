"""ROC curves and operating points as JSON, CSV and sentences."""

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from reid_jax.retrieval import verification
from reid_jax.retrieval.verification import Verification

Curve = dict[float, float]
"""TPR by FPR, for the rates of `verification.GRID` that there are enough pairs for."""


def summary(roc: Verification) -> dict[str, Any]:
    """Summary of a ROC for `scores.json`; None at rates that have too few pairs."""
    points = {f"{fpr:g}": roc.at(fpr) for fpr in verification.RATES}
    return {
        "num_genuine": roc.num_genuine,
        "num_impostor": roc.num_impostor,
        "at_fpr": {
            fpr: point and {"tpr": point.tpr, "distance": point.distance}
            for fpr, point in points.items()
        },
        "equal_error_rate": _or_none(roc.equal_error_rate),
        "equal_error_distance": _or_none(roc.equal_error_distance),
    }


def sentence(roc: Verification) -> str:
    """One sentence: TPR at an FPR of 1 %, its distance, and the equal error rate.

    With fewer than 100 impostor pairs, 10 % or 100 % takes the place of 1 %.
    """
    rates = (0.01, 0.1, 1)
    fpr = next((fpr for fpr in rates if roc.at(fpr) is not None), None)
    if fpr is None:
        return "no pairs of different persons"
    point = roc.at(fpr)
    limit = "" if point.distance is None else f" (distance up to {point.distance:.4g})"
    return (
        f"TPR {100 * point.tpr:.1f} % at FPR {100 * fpr:g} %{limit}, "
        f"equal error rate {100 * roc.equal_error_rate:.1f} %"
    )


def curve(roc: Verification) -> Curve:
    """TPR of a ROC at the rates of the grid."""
    points = {fpr: roc.at(fpr) for fpr in verification.GRID}
    return {fpr: point.tpr for fpr, point in points.items() if point is not None}


def lines(curves: Mapping[str, Verification]) -> list[list]:
    """Lines of a CSV file: for each FPR of the grid, TPR and distance of each curve.

    A cell is None where there are too few pairs; lines with such cells only are
    omitted. Distances are not rounded: a rounded one would accept other pairs.
    """
    titles = [title for name in curves for title in (name, f"{name}: distance")]
    rows = [["fpr", *titles]]
    for fpr in verification.GRID:
        points = [roc.at(fpr) for roc in curves.values()]
        if any(points):
            cells = [(p.tpr, p.distance) if p else (None, None) for p in points]
            rounded = (
                (None if tpr is None else round(tpr, 6), distance)
                for tpr, distance in cells
            )
            rows.append([fpr, *(cell for pair in rounded for cell in pair)])
    return rows


def read_curves(path: pathlib.Path) -> dict[str, Curve]:
    """Reads the curves of a CSV file of `lines`, without the distances."""
    with path.open(newline="", encoding="utf-8") as file:
        titles, *rows = csv.reader(file)
    return {
        titles[i]: {float(row[0]): float(row[i]) for row in rows if row[i]}
        for i in range(1, len(titles), 2)
    }


def _or_none(value: float) -> float | None:
    """Replaces nan, which JSON does not have, by None."""
    return None if np.isnan(value) else value
