"""Curves of results: CMC, training, studies. They differ in dashes and markers too."""

import os
import re
from collections.abc import Sequence

import numpy as np
from matplotlib import figure

from reid_jax.report.strips import COLORS, DPI, MARKERS, TEXT, save

_DASHES = ("-", "--", "-.", ":")


def cmc(path: str | os.PathLike, curves: dict[str, np.ndarray]) -> None:
    """Draws CMC curves: `curves[name][r - 1]` is the fraction found by rank r."""
    if not curves or any(np.size(curve) == 0 for curve in curves.values()):
        raise ValueError(f"There is no curve to draw: {curves!r}.")
    canvas = figure.Figure(figsize=(6, 4.2), dpi=2 * DPI, layout="constrained")
    axes = canvas.add_subplot()
    for i, (name, curve) in enumerate(curves.items()):
        percent = 100 * np.asarray(curve, float)
        axes.plot(
            np.arange(1, len(percent) + 1),
            percent,
            label=f"{_plain(name)} ({percent[0]:.1f} % at rank 1)",
            color=COLORS[i % len(COLORS)],
            linestyle=_DASHES[i % len(_DASHES)],
            marker=MARKERS[i % len(MARKERS)],
            markersize=4,
            markevery=max(1, len(percent) // 10),
        )
    num_ranks = max(map(len, curves.values()))
    step = 10 if num_ranks > 25 else 5
    axes.set_xticks([1, *range(step, num_ranks + 1, step)])
    axes.set(xlabel="rank", ylabel="queries with a match up to this rank, %")
    axes.set_ylim(top=101)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    save(canvas, path)


def training(path: str | os.PathLike, log: Sequence[dict[str, float | int]]) -> None:
    """Draws a run's log (rows of `metrics.jsonl`) over its steps, a panel a quantity.

    Loss and its parts; what the batches still teach; the score on the test set.
    """
    panels = {
        "loss": {
            "loss": "both",
            "triplet": "triplet",
            "cross_entropy": "cross-entropy",
        },
        "share of the batch, %": {
            "active_triplets": "active triplets",
            "precision_at_1": "precision at 1",
        },
        "test set, %": {"mean_ap": "mAP", "rank1": "CMC-1"},
    }
    drawn = {
        title: {
            shown: [(row["step"], row[name]) for row in log if name in row]
            for name, shown in names.items()
        }
        for title, names in panels.items()
    }
    drawn = {title: lines for title, lines in drawn.items() if any(lines.values())}
    if not drawn:
        raise ValueError("There is no curve to draw: the log is empty.")
    size = (4.2 * len(drawn), 3.4)
    canvas = figure.Figure(figsize=size, dpi=2 * DPI, layout="constrained")
    for axes, (title, lines) in zip(
        np.atleast_1d(canvas.subplots(1, len(drawn))), drawn.items(), strict=True
    ):
        percent = 100 if "%" in title else 1
        for i, (name, points) in enumerate(lines.items()):
            if points:
                steps, values = zip(*points, strict=True)
                axes.plot(
                    steps,
                    percent * np.asarray(values, float),
                    label=name,
                    color=COLORS[i],
                    linestyle=_DASHES[i],
                    marker=MARKERS[i] if len(points) < 30 else None,
                    markersize=4,
                )
        axes.set(xlabel="step", title=title)
        axes.set_ylim(bottom=0, top=101 if percent == 100 else None)
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    save(canvas, path)


def study(
    path: str | os.PathLike,
    curves: dict[str, dict[str, list[tuple[str, float]]]],
    unit: str,
    *,
    title: str = "",
) -> None:
    """Draws `curves[score][name]`, lists of (level, fraction), one panel a score.

    Levels are named and set apart evenly, in the order given.
    """
    if not curves or not all(curves.values()):
        raise ValueError(f"There is no curve to draw: {curves!r}.")
    size = (4.2 * len(curves), 3.6)
    canvas = figure.Figure(figsize=size, dpi=2 * DPI, layout="constrained")
    canvas.suptitle(title, fontsize=TEXT)
    for axes, (score, lines) in zip(
        np.atleast_1d(canvas.subplots(1, len(curves), sharey=True)),
        curves.items(),
        strict=True,
    ):
        for i, (name, points) in enumerate(lines.items()):
            levels, values = zip(*points, strict=True)
            axes.plot(
                levels,
                100 * np.asarray(values, float),
                label=_plain(name),
                color=COLORS[i % len(COLORS)],
                linestyle=_DASHES[i % len(_DASHES)],
                marker=MARKERS[i % len(MARKERS)],
            )
        axes.set(xlabel=unit, title=f"{score}, %", ylim=(0, 101))
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", frameon=False)
    save(canvas, path)


def _plain(name: str) -> str:
    """A name as it is: not a formula, nor left out of the legend for its "_"."""
    return re.sub("^_", " _", name.replace("$", r"\$"))
