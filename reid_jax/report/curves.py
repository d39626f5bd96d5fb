"""Draws curves: CMC, ROC, training, studies; readable without colors, too."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from reid_jax.report import style

# Title of a panel → column of `metrics.jsonl` → name in the legend.
_TRAINING = {
    "loss": {
        "loss": "all",
        "triplet": "triplet",
        "soft_triplet": "triplet, soft margin",
        "circle": "circle",
        "cross_entropy": "cross-entropy",
        "center": "center",
    },
    "share of the batch, %": {
        "active_triplets": "active triplets",
        "precision_at_1": "precision at 1",
    },
    "test set, %": {"mean_ap": "mAP", "rank1": "CMC-1"},
}


def cmc(path: str | os.PathLike, curves: dict[str, np.ndarray]) -> None:
    """Draws CMC curves: `curves[name][r - 1]` is the fraction matched by rank r."""
    if not all(map(len, curves.values())):
        raise ValueError(f"There is no curve to draw: {curves!r}.")
    lines = {
        f"{name} ({100 * curve[0]:.1f} % at rank 1)": list(enumerate(curve, start=1))
        for name, curve in curves.items()
    }
    title = "queries with a match up to this rank, %"
    # An axis from 0 would hide how good runs differ near 100 %.
    canvas, (axes,) = _panels({title: lines}, "rank", width=6, bottom=None)
    num_ranks = max(map(len, curves.values()))
    step = 10 if num_ranks > 25 else 5
    axes.set_xticks([1, *range(step, num_ranks + 1, step)])
    style.save(canvas, path)


def roc(path: str | os.PathLike, curves: Mapping[str, Mapping[float, float]]) -> None:
    """Draws ROC curves over a logarithmic axis: `curves[name][fpr]` is the TPR."""
    lines = {
        name + (f" ({100 * curve[0.01]:.1f} % at FPR 1 %)" if 0.01 in curve else ""): [
            (100 * fpr, tpr) for fpr, tpr in curve.items()
        ]
        for name, curve in curves.items()
    }
    title = "pairs of one person accepted (TPR), %"
    unit = "pairs of different persons accepted (FPR), %"
    canvas, (axes,) = _panels({title: lines}, unit, width=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    style.save(canvas, path)


def training(path: str | os.PathLike, log: Sequence[dict[str, float | int]]) -> None:
    """Draws a run's log (rows of `metrics.jsonl`) over its steps.

    There is a panel for the losses, one for how hard the batches still are, and one for
    the scores on the test set. A panel without numbers is left out.
    """
    panels = {
        title: {
            label: [(row["step"], row[name]) for row in log if name in row]
            for name, label in names.items()
        }
        for title, names in _TRAINING.items()
    }
    panels = {title: lines for title, lines in panels.items() if any(lines.values())}
    canvas, _ = _panels(panels, "step")
    style.save(canvas, path)


def study(
    path: str | os.PathLike,
    curves: dict[str, dict[str, list[tuple[str, float]]]],
    unit: str,
    *,
    title: str = "",
) -> None:
    """Draws the scores of a study: one panel for each score, one line for each name.

    Args:
        path: The picture to write.
        curves: `curves[score][name]` is a list of (level, fraction). Levels are names;
            they are drawn in this order at equal distances.
        unit: Label of the x axis.
        title: Title of the whole picture.
    """
    panels = {f"{score}, %": lines for score, lines in curves.items()}
    canvas, _ = _panels(panels, unit)
    canvas.suptitle(title, fontsize=style.TEXT, parse_math=False)
    style.save(canvas, path)


def _panels(
    panels: dict[str, dict[str, list]],
    unit: str,
    *,
    width: float | int = 4.2,
    bottom: int | None = 0,
):
    """Draws panels side by side; returns the figure, which is not saved, and its axes.

    `panels[title][name]` is a line, a list of (x, y). A panel whose title ends in %
    takes fractions. A line without points is left out; the others keep their colors.
    """
    if not panels or not all(any(lines.values()) for lines in panels.values()):
        raise ValueError(f"There is no curve to draw: {panels!r}.")
    longest = max(len(name) for lines in panels.values() for name in lines)
    # Columns of the legend: as many as fit, and at least one for any length of name.
    ncols = max(1, 75 // (longest + 12))
    width = max(width, 1.5 + 0.1 * longest)
    legend_rows = -(-max(map(len, panels.values())) // ncols)
    canvas = style.new_figure(width * len(panels), 3.5 + 0.22 * legend_rows)
    grid = canvas.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, lines) in zip(grid, panels.items(), strict=True):
        percent = 100 if title.endswith("%") else 1
        for i, (name, points) in enumerate(lines.items()):
            if not points:
                continue
            x, y = zip(*points, strict=True)
            axes.plot(
                x,
                percent * np.asarray(y, float),
                # A name that begins with "_" would be left out of the legend.
                label=f" {name}" if name.startswith("_") else name,
                color=style.COLORS[i % len(style.COLORS)],
                linestyle=style.DASHES[i % len(style.DASHES)],
                marker=style.MARKERS[i % len(style.MARKERS)],
                markersize=4,
                markevery=max(1, len(points) // 10),
            )
        axes.set(xlabel=unit, ylabel=title)
        axes.set_ylim(bottom=bottom, top=101 if percent == 100 else None)
        axes.grid(color="0.9")
        style.finish(axes, ncols=ncols)
        for text in axes.get_legend().get_texts():
            text.set_parse_math(False)  # "$" in a name is no formula
    return canvas, grid
