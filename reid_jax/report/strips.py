"""Draws tracklets: ranked lists, and attention over the frames of a clip.

Results are told apart without colors, too: right ones have a solid frame and a tick,
wrong ones a dashed frame and a cross.
"""

import dataclasses
import os

import numpy as np
import PIL.Image

from reid_jax.report import style
from reid_jax.report.style import made_from as made_from

NUM_RESULTS = 10

# Sizes in pixels; a frame of the picture is a resized frame, pixel by pixel.
_FRAME_HEIGHT, _GAP, _MIN_WIDTH = 128, 18, 48
_BETWEEN_ROWS = 64  # room for a caption and a title
_BARS_HEIGHT = 96
# The grid fills its figure; `save` makes room for titles and captions.
_NO_MARGINS = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0}


@dataclasses.dataclass(frozen=True)
class Strip:
    """A tracklet: one to three frames, uint8 [h, w, 3] of any sizes, and a caption."""

    frames: list[np.ndarray]
    caption: str


@dataclasses.dataclass(frozen=True)
class Result(Strip):
    """A gallery tracklet that was ranked for a query."""

    distance: float | np.floating
    """Distance to the query."""
    is_match: bool | np.bool_ | None
    """Whether it shows the query's person; None where that is unknown."""
    rank: int | None = None
    """Rank for the query, from 1; None: its position in the list."""


@dataclasses.dataclass(frozen=True)
class RankedRow:
    """A query and its results, nearest first."""

    query: Strip
    results: list[Result]


def ranked_lists(
    path: str | os.PathLike, rows: list[RankedRow], *, title: str = ""
) -> None:
    """Draws each query with its first ten results, one query to a row.

    A query with fewer results, or without any, gets a shorter row.
    """
    if not rows:
        raise ValueError("There is no query to draw: rows is empty.")
    strips = [[row.query, *row.results[:NUM_RESULTS]] for row in rows]
    widths = [0.0] * max(map(len, strips))
    canvas = style.new_figure(1, 1, dpi=style.DPI, layout=None)
    grid = canvas.subplots(len(rows), len(widths), squeeze=False)
    for axes_row, row in zip(grid, strips, strict=True):
        for column, strip in enumerate(row):
            width = _draw_strip(axes_row[column], strip, column) + _GAP
            widths[column] = max(widths[column], np.ceil(width))
        for axes in axes_row[len(row) :]:
            axes.remove()
    widths[0] += _GAP  # sets the query apart
    height = len(rows) * (_FRAME_HEIGHT + _BETWEEN_ROWS) - _BETWEEN_ROWS
    canvas.set_size_inches(sum(widths) / style.DPI, height / style.DPI)
    grid[0, 0].get_gridspec().set_width_ratios(widths)
    canvas.subplots_adjust(**_NO_MARGINS, hspace=_BETWEEN_ROWS / _FRAME_HEIGHT)
    offset = {"xycoords": "axes fraction", "textcoords": "offset points"}
    font = {"fontsize": style.TEXT + 3, "weight": "bold", "parse_math": False}
    grid[0, 0].annotate(title, (0, 1), (0, 30), **offset, **font)
    style.save(canvas, path)


def attention_strips(
    path: str | os.PathLike,
    clips: list[tuple[np.ndarray, np.ndarray]],
    *,
    made_from: str | None = None,
) -> None:
    """Draws clips with a bar below each frame for its weight.

    Args:
        path: The picture to write.
        clips: Pairs of frames, uint8 [T, H, W, 3], and weights [T]. All bars have one
            scale, from 0 to the largest weight.
        made_from: Key to keep in the file; see `style.save`.
    """
    if not clips:
        raise ValueError("There is no clip to draw: clips is empty.")
    for frames, weights in clips:
        if len(frames) != len(weights) or not len(frames):
            raise ValueError(
                f"A clip of {len(frames)} frames has {len(weights)} weights."
            )
    highest = max(float(np.max(weights)) for _, weights in clips) or 1.0
    images = [
        np.concatenate([_with_margins(resize(frame)) for frame in frames], axis=1)
        for frames, _ in clips
    ]
    width = max(image.shape[1] for image in images)
    heights = [_FRAME_HEIGHT, _BARS_HEIGHT] * len(clips)
    size = width / style.DPI, sum(heights) / style.DPI
    canvas = style.new_figure(*size, dpi=style.DPI, layout=None)
    grid = canvas.subplots(
        len(heights), height_ratios=heights, gridspec_kw=_NO_MARGINS | {"hspace": 0}
    )
    for i, (image, (_, weights)) in enumerate(zip(images, clips, strict=True)):
        above, below = grid[2 * i : 2 * i + 2]
        end, cell = image.shape[1], image.shape[1] / len(weights)
        extent = (0, end, 0, 1)
        above.imshow(image, extent=extent, aspect="auto", interpolation="nearest")
        middles = cell * (np.arange(len(weights)) + 0.5)
        bars = below.bar(middles, np.maximum(weights, 0), cell - 10, color=style.BLUE)
        numbers = [f"{weight:.2f}" for weight in weights]
        below.bar_label(bars, numbers, padding=1, fontsize=style.TEXT)
        below.hlines(0, 2, end - 2, color="0.35", linewidth=1)
        # Room for the number above, and more before the next clip.
        below.set_ylim(-0.8 * highest, 1.6 * highest)
        for axes in (above, below):
            axes.set_xlim(0, width)
            axes.set_axis_off()
    style.save(canvas, path, made_from=made_from)


def resize(frame: np.ndarray) -> np.ndarray:
    """`frame` resized to the height of all drawn frames, its proportions kept."""
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


def _with_margins(image: np.ndarray) -> np.ndarray:
    """`image` with white margins, so that a number fits below it."""
    margin = max(2, -(-(_MIN_WIDTH - image.shape[1]) // 2))
    return np.pad(image, ((0, 0), (margin, margin), (0, 0)), constant_values=255)


def _draw_strip(axes, strip: Strip, column: int) -> float | int:
    """Draws a framed tracklet with title and caption; returns its width in pixels."""
    image = side_by_side(strip.frames)
    axes.imshow(image, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    text = {"fontsize": style.TEXT, "parse_math": False}
    axes.xaxis.labelpad = 7  # points: clear of the frame
    if isinstance(strip, Result):
        color, dashes, mark = {
            True: (style.GREEN, "-", "✓"),
            False: (style.RED, (0, (1.25, 0.75)), "✗"),
            None: (style.GREY, "-", "?"),
        }[None if strip.is_match is None else bool(strip.is_match)]
        rank = column if strip.rank is None else strip.rank
        name = f"rank {rank}  {mark} {strip.distance:#.3g}"
        title = axes.set_title(name, color=color, weight="bold", **text)
        caption = axes.set_xlabel(strip.caption, **text)
    else:
        color, dashes = "black", "-"
        title = axes.set_title("query", **text)
        caption = axes.set_xlabel(strip.caption, weight="bold", **text)
    # The image covers the inner half of this line.
    line = 6 if isinstance(strip, Result) else 2
    axes.patch.set(edgecolor=color, linestyle=dashes, linewidth=line)
    texts = (label.get_window_extent().width for label in (title, caption))
    return max(image.shape[1], *texts)
