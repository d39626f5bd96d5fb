"""Style of all pictures: colors, sizes, empty figures, and how they are saved."""

import os

import PIL.Image

from reid_jax import files

# Okabe & Ito's colors, which color-blind people can tell apart.
GREEN, RED, GREY, BLUE = "#009E73", "#D55E00", "#8C8C8C", "#0072B2"
COLORS = (BLUE, RED, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vXP"
DASHES = ("-", "--", "-.", ":")

DPI = 100
TEXT = 11  # points

_MADE_FROM = "Description"  # a keyword that the PNG standard defines


def new_figure(
    width: float | int,
    height: float | int,
    *,
    dpi: int = 2 * DPI,
    layout: str | None = "constrained",
):
    """An empty figure of this size in inches."""
    # Half a second to import: train.py, which draws nothing, should not wait for it.
    from matplotlib import figure

    return figure.Figure(figsize=(width, height), dpi=dpi, layout=layout)


def finish(axes, **legend) -> None:
    """Removes the upper and right border of the axes and puts the legend above them.

    There it covers neither lines nor points.
    """
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, **legend)


def save(canvas, path: str | os.PathLike, *, made_from: str | None = None) -> None:
    """Writes a figure whole or not at all, cropped to what is drawn.

    Args:
        canvas: The figure.
        path: File to write; its suffix (.png, .pdf, .svg) sets the format. Folders are
            created.
        made_from: Text to keep inside a PNG, which the function `made_from` reads: a
            key of the weights and data that the picture shows.
    """
    with files.write_whole(path) as unfinished:
        canvas.savefig(
            unfinished, bbox_inches="tight", metadata={_MADE_FROM: made_from}
        )


def made_from(path: str | os.PathLike) -> str | None:
    """The text that `save` kept in a PNG.

    None where there is none, or the file is missing, damaged or not a PNG.
    """
    try:
        with PIL.Image.open(path, formats=["PNG"]) as image:
            text = image.info.get(_MADE_FROM)
            image.verify()  # the text stands before the pixels: they may be cut off
    except (OSError, SyntaxError, ValueError):
        return None
    return text and str(text)
