"""Pictures of tracklets: ranked lists, attention over a clip's frames.

Results are told apart without colours too: right ones have a solid frame and a tick,
wrong ones a dashed frame and a cross. The format (.png, .pdf, .svg) follows from the
path's suffix; its folder is made if need be.
"""

import dataclasses
import os
import pathlib

import numpy as np
import PIL.Image
from matplotlib import figure, patches

# Okabe & Ito's colours, which colour-blind people can tell apart.
_GREEN, _RED, _GREY, _BLUE = "#009E73", "#D55E00", "#8C8C8C", "#0072B2"
COLORS = (_BLUE, _RED, _GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vXP"

DPI = 100
_FRAME_HEIGHT, _GAP = 128, 18  # pixels
_TITLE, TEXT = 14, 11  # points
NUM_RESULTS = 10


@dataclasses.dataclass(frozen=True)
class Strip:
    """One tracklet: one to three of its frames, uint8 [h, w, 3] of any sizes."""

    frames: list[np.ndarray]
    caption: str


@dataclasses.dataclass(frozen=True)
class Result(Strip):
    """A gallery tracklet: its distance to the query, and whether that is right."""

    distance: float | np.floating
    is_match: bool | np.bool_ | None
    """None where it is not known."""
    rank: int | None = None
    """None: its place in the list."""


@dataclasses.dataclass(frozen=True)
class RankedRow:
    """A query and its results, nearest first."""

    query: Strip
    results: list[Result]


def ranked_lists(
    path: str | os.PathLike, rows: list[RankedRow], *, title: str = ""
) -> None:
    """Draws each query with the first ten of its results, one query to a row.

    A query with fewer results, even none, gets a shorter row.
    """
    if not rows:
        raise ValueError("There is no query to draw: rows is empty.")
    strips = [[row.query, *row.results[:NUM_RESULTS]] for row in rows]
    images = [[side_by_side(strip.frames) for strip in row] for row in strips]
    # The captions' widths count as well, at about 0.6 em to a character.
    points = TEXT * 0.6 * DPI / 72
    cell_width = max(
        max(image.shape[1], points * len(strip.caption), points * 8)
        for row, row_images in zip(strips, images, strict=True)
        for strip, image in zip(row, row_images, strict=True)
    )
    step_x, step_y = cell_width + _GAP, _FRAME_HEIGHT + 3.5 * _GAP
    num_columns = max(map(len, strips))
    left, top = _GAP, (2.2 if title else 0) * _GAP + 1.6 * _GAP
    after_query = _GAP  # sets the query apart
    width = 2 * _GAP + num_columns * step_x - _GAP + after_query
    canvas, axes = _canvas(width, top + len(rows) * step_y)
    if title:
        axes.text(left, 1.1 * _GAP, title, fontsize=_TITLE, weight="bold", va="center")
    for column in range(num_columns):
        x = left + column * step_x + (after_query if column else 0)
        name = f"rank {column}" if column else "query"
        axes.text(
            x + cell_width / 2,
            top - 0.7 * _GAP,
            name,
            fontsize=TEXT,
            color="0.35",
            ha="center",
            va="center",
        )
    for i, (row, row_images) in enumerate(zip(strips, images, strict=True)):
        for column, (strip, image) in enumerate(zip(row, row_images, strict=True)):
            x = left + column * step_x + (after_query if column else 0)
            _draw_strip(axes, strip, image, x, top + i * step_y, cell_width)
    save(canvas, path)


def attention_strips(
    path: str | os.PathLike, clips: list[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Draws clips, uint8 [T, H, W, 3], with each frame's weight [T] as a bar below.

    Bars are to one scale in the whole picture, from 0 to the greatest weight.
    """
    if not clips:
        raise ValueError("There is no clip to draw: clips is empty.")
    for frames, weights in clips:
        if len(frames) != len(weights) or not len(frames):
            raise ValueError(
                f"A clip of {len(frames)} frames has {len(weights)} weights."
            )
    highest = max(float(np.max(weights)) for _, weights in clips) or 1.0
    rows = [[resize(frame) for frame in frames] for frames, _ in clips]
    cell_width = max(48, *(image.shape[1] for row in rows for image in row))
    bar_height = 40
    step_x, step_y = cell_width + 4, _FRAME_HEIGHT + bar_height + 3 * _GAP
    num_columns = max(map(len, rows))
    canvas, axes = _canvas(
        2 * _GAP + num_columns * step_x - 4, len(rows) * step_y + 0.5 * _GAP
    )
    for i, (row, (_, weights)) in enumerate(zip(rows, clips, strict=True)):
        y = _GAP + i * step_y
        base = y + _FRAME_HEIGHT + 1.2 * _GAP + bar_height
        for t, (image, weight) in enumerate(zip(row, weights, strict=True)):
            x = _GAP + t * step_x
            _draw_image(axes, image, x + (cell_width - image.shape[1]) / 2, y)
            height = bar_height * max(0.0, float(weight)) / highest
            axes.add_patch(
                patches.Rectangle(
                    (x + 4, base - height), cell_width - 8, height, color=_BLUE
                )
            )
            axes.text(
                x + cell_width / 2,
                base - height - 3,
                f"{float(weight):.2f}",
                fontsize=TEXT,
                ha="center",
                va="bottom",
            )
        right = _GAP + len(row) * step_x - 4
        axes.plot([_GAP, right], [base, base], color="0.35", linewidth=1)
    save(canvas, path)


def resize(frame: np.ndarray) -> np.ndarray:
    """`frame` at the height all frames are drawn in, its shape kept."""
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise ValueError(
            f"A frame is uint8 [h, w, 3], not {frame.dtype} {list(frame.shape)}."
        )
    height = _FRAME_HEIGHT
    width = max(1, round(frame.shape[1] * height / frame.shape[0]))
    image = PIL.Image.fromarray(frame)
    return np.asarray(image.resize((width, height), PIL.Image.Resampling.BICUBIC))


def side_by_side(frames: list[np.ndarray]) -> np.ndarray:
    """One image of a tracklet's frames, with a white line between them."""
    if not 1 <= len(frames) <= 3:
        raise ValueError(f"A strip has one to three frames, not {len(frames)}.")
    line = np.full((_FRAME_HEIGHT, 2, 3), 255, np.uint8)
    parts = [part for frame in frames for part in (line, resize(frame))]
    return np.concatenate(parts[1:], axis=1)


def _draw_strip(axes, strip: Strip, image: np.ndarray, x, y, cell_width) -> None:
    """A tracklet's frames centred in its cell, with a frame and captions."""
    width, height = image.shape[1], _FRAME_HEIGHT
    x += (cell_width - width) / 2
    _draw_image(axes, image, x, y)
    color, style, mark = "black", "-", ""
    if isinstance(strip, Result):
        color, style, mark = {
            True: (_GREEN, "-", "✓ "),
            False: (_RED, (0, (2.5, 1.5)), "✗ "),
            None: (_GREY, "-", "? "),
        }[None if strip.is_match is None else bool(strip.is_match)]
    axes.add_patch(
        patches.Rectangle(
            (x - 2, y - 2),
            width + 4,
            height + 4,
            fill=False,
            edgecolor=color,
            linestyle=style,
            linewidth=3 if isinstance(strip, Result) else 1,
        )
    )
    text = {"ha": "center", "va": "center", "fontsize": TEXT}
    middle, below = x + width / 2, y + height
    if isinstance(strip, Result):
        distance = f"{mark}{strip.distance:#.3g}"
        axes.text(middle, below + _GAP, distance, color=color, weight="bold", **text)
        axes.text(middle, below + 1.9 * _GAP, strip.caption, **text)
    else:
        axes.text(middle, below + _GAP, strip.caption, weight="bold", **text)


def _draw_image(axes, image: np.ndarray, x, y) -> None:
    extent = (x, x + image.shape[1], y + _FRAME_HEIGHT, y)
    axes.imshow(image, extent=extent, interpolation="nearest")


def _canvas(width: float | int, height: float | int):
    """A figure of so many pixels and axes that count them from the top left."""
    canvas = figure.Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    axes = canvas.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.autoscale(False)
    axes.set(xlim=(0, width), ylim=(height, 0))
    return canvas, axes


def save(canvas: figure.Figure, path: str | os.PathLike) -> None:
    """Write a figure; the folder is made if need be."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path)
