"""The picture of benchmarks/growth.py: time and memory as the data doubles."""

import pathlib

import numpy as np
from matplotlib import figure

from reid_jax.report.style import COLORS, DPI, MARKERS, save

_LEGEND = {"loc": "outside lower center", "ncols": 3, "frameon": False, "fontsize": 7}


def draw(found: dict[str, list[list[float]]], path: pathlib.Path) -> None:
    """Seconds and memory of each curve over how often the smallest size is doubled."""
    canvas = figure.Figure(figsize=(8, 3.8), dpi=2 * DPI, layout="constrained")
    times, memory = canvas.subplots(1, 2)
    doubled = [1, 2, 4, 8, 16]
    for i, (what, measured) in enumerate(found.items()):
        seconds, _, megabytes = np.array(measured).T
        style = {"color": COLORS[i % len(COLORS)], "marker": MARKERS[i % len(MARKERS)]}
        style |= {"markersize": 4, "label": what}
        times.plot(doubled, seconds / seconds[0], **style)
        memory.plot(doubled, megabytes, **style)
    for power, name in ((1, "proportional"), (2, "square")):
        curve = [n**power for n in doubled]
        times.plot(doubled, curve, color="0.6", linestyle=":", linewidth=1)
        times.annotate(name, (16, 16**power), color="0.4", fontsize=7, ha="right")
    times.set_yscale("log", base=2)
    times.set(ylabel="times the seconds of the smallest")
    memory.set(ylabel="largest memory of the process, MB", ylim=(0, None))
    for axes in (times, memory):
        axes.set_xscale("log", base=2)
        axes.set(xlabel="times the smallest size")
        axes.grid(color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    canvas.legend(*times.get_legend_handles_labels(), **_LEGEND)
    save(canvas, path)
