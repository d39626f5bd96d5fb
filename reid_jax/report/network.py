"""Draws what a network has learnt: filters, responses, a map of embeddings.

Source: Kansal & Subramanyam 2018, Figures 2 and 3, for filters and responses.
"""

import os

import numpy as np
from jaxtyping import Float, Int, UInt8

from reid_jax.report import style

_MAX_FILTERS = 64
_NUM_CHANNELS = 4  # of each layer
_MAX_FRAMES = 8
_NUM_IDENTITIES = 14  # as many colors and markers are told apart at a glance


def filters(
    path: str | os.PathLike,
    kernel: Float[np.ndarray, "... h w 3 N"],
    *,
    made_from: str | None = None,
) -> None:
    """Draws the first 64 filters of the first layer in color, as a grid.

    Args:
        path: The picture to write.
        kernel: [h, w, 3, N] or [T, h, w, 3, N]. A filter's T slices stand side by side
            in order of time. Each filter is scaled to its largest value; grey is 0.
        made_from: Key to keep in the file; see `style.save`.
    """
    kernel = kernel if kernel.ndim == 5 else kernel[None]
    kernel = kernel[..., :_MAX_FILTERS]
    T, h, w, _, N = kernel.shape
    columns = max(1, round((N * h / (w * T)) ** 0.5))
    rows = -(-N // columns)
    amplitude = np.abs(kernel).max(axis=(0, 1, 2, 3))
    scaled = kernel / (2 * amplitude + 1e-12) + 0.5
    tiles = scaled.transpose(4, 1, 0, 2, 3).reshape(N, h, T * w, 3)
    # A white pixel above and left of each tile, and white tiles after the last one.
    padding = ((0, rows * columns - N), (1, 0), (1, 0), (0, 0))
    tiles = np.pad(tiles, padding, constant_values=1.0)
    grid = tiles.reshape(rows, columns, h + 1, T * w + 1, 3).swapaxes(1, 2)
    image = grid.reshape(rows * (h + 1), columns * (T * w + 1), 3)
    scale = 9 / max(image.shape[:2])
    canvas = style.new_figure(image.shape[1] * scale, image.shape[0] * scale + 0.4)
    axes = canvas.add_subplot()
    over_time = f", {T} slices each, in order of time" if T > 1 else ""
    title = f"{N} filters of the first layer{over_time}"
    axes.set_title(title, fontsize=style.TEXT)
    axes.imshow(np.clip(image, 0, 1), interpolation="nearest")
    axes.set_axis_off()
    style.save(canvas, path, made_from=made_from)


def responses(
    path: str | os.PathLike,
    clip: UInt8[np.ndarray, "T H W 3"],
    layers: dict[str, Float[np.ndarray, "t h w C"]],
    *,
    made_from: str | None = None,
) -> None:
    """Draws a clip and, below it, the most varied channels of each layer, as rows.

    Args:
        path: The picture to write.
        clip: Frames [T, H, W, 3].
        layers: Responses [t, h, w, C] by layer. With t < T, each stands under the first
            of its frames. Each channel is scaled to its range over the clip.
        made_from: Key to keep in the file; see `style.save`.
    """
    frame_indices = np.linspace(0, len(clip) - 1, min(len(clip), _MAX_FRAMES)).astype(
        int
    )
    rows: list[tuple[str, list[np.ndarray]]] = [
        ("frame", [clip[t] for t in frame_indices])
    ]
    for name, maps in layers.items():
        spread = maps.std(axis=(0, 1, 2))
        moments = frame_indices * len(maps) // len(clip)
        for channel in np.argsort(-spread, kind="stable")[:_NUM_CHANNELS]:
            values = maps[..., channel]
            low, high = values.min(), values.max()
            scaled = (values - low) / max(high - low, 1e-12)
            rows.append((f"{name}, channel {channel}", [scaled[m] for m in moments]))
    height = 0.9 * clip.shape[1] / clip.shape[2]
    canvas = style.new_figure(0.9 * len(frame_indices), height * len(rows), layout=None)
    # The grid fills the figure; `save` makes room for the names to its left.
    margins = {"left": 0, "right": 1, "bottom": 0, "top": 1, "wspace": 0.06}
    margins["hspace"] = 0.06 * clip.shape[2] / clip.shape[1]
    grid = canvas.subplots(
        len(rows), len(frame_indices), squeeze=False, gridspec_kw=margins
    )
    for axes_row, (name, images) in zip(grid, rows, strict=True):
        for axes, image in zip(axes_row, images, strict=True):
            extent = (0, clip.shape[2], clip.shape[1], 0)
            axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=extent)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
        label = {"rotation": 0, "ha": "right", "va": "center"}
        axes_row[0].set_ylabel(name, fontsize=style.TEXT - 3, **label)
    style.save(canvas, path, made_from=made_from)


def embedding_map(
    path: str | os.PathLike,
    embeddings: Float[np.ndarray, "N D"],
    pids: Int[np.ndarray, "N"],
    camids: Int[np.ndarray, "N"],
    *,
    method: str = "pca",
    title: str = "",
) -> None:
    """Draws tracklets as points in a plane: colored by person, and again by camera.

    Args:
        path: The picture to write.
        embeddings: [N, D].
        pids: Person ids [N]. The 14 persons with the most tracklets are colored; the
            others are grey.
        camids: Camera ids [N].
        method: A key of `MAPS`.
        title: Title of the picture.
    """
    points, names = MAPS[method](embeddings)
    canvas = style.new_figure(10, 5.5)
    canvas.suptitle(title, fontsize=style.TEXT, parse_math=False)
    by_identity, by_camera = canvas.subplots(1, 2, sharex=True, sharey=True)
    persons, counts = np.unique(pids[pids > 0], return_counts=True)
    frequent_pids = persons[np.argsort(-counts, kind="stable")][:_NUM_IDENTITIES]
    _scatter(by_identity, points, pids, frequent_pids, "person")
    _scatter(by_camera, points, camids, np.unique(camids), "camera")
    for axes in (by_identity, by_camera):
        axes.set_xlabel(names[0])
    by_identity.set_ylabel(names[1])
    style.save(canvas, path)


def _pca(embeddings: Float[np.ndarray, "N D"]):
    """Coordinates [N, 2] along the two main directions, and the axes' labels."""
    centred = embeddings - embeddings.mean(axis=0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    # The sign of a direction is arbitrary: make its largest component positive.
    largest = np.take_along_axis(
        directions, np.abs(directions).argmax(axis=1)[:, None], axis=1
    )
    points = centred @ (directions * np.sign(largest))[:2].T
    share = values[:2] ** 2 / max(np.sum(values**2), 1e-12)
    num_missing = 2 - len(share)  # with a single tracklet or dimension
    points, share = (
        np.pad(points, ((0, 0), (0, num_missing))),
        np.pad(share, (0, num_missing)),
    )
    return points, (
        f"first direction ({share[0]:.0%} of the variance)",
        f"second direction ({share[1]:.0%})",
    )


def _tsne(embeddings: Float[np.ndarray, "N D"]):
    """Coordinates [N, 2] of t-SNE (van der Maaten & Hinton 2008), and the axes' labels.

    It starts from the two main directions.
    """
    from sklearn import manifold  # takes a second to import

    points, _ = _pca(embeddings)
    if len(np.unique(embeddings, axis=0)) > 3:  # fewer points need no arranging
        perplexity = min(_PERPLEXITY, (len(embeddings) - 1) / 3)
        start = (1e-4 * points / points[:, 0].std()).astype(np.float32)
        reduced = manifold.TSNE(init=start, random_state=0, perplexity=perplexity)
        points = reduced.fit_transform(embeddings)
    return points, ("t-SNE", "")


_PERPLEXITY = 30.0  # roughly the number of neighbours that count
MAPS = {"pca": _pca, "tsne": _tsne}


def _scatter(axes, points, labels, colored: Int[np.ndarray, "..."], name: str) -> None:
    """Draws the points with the labels `colored` in color, the others in grey."""
    is_other = ~np.isin(labels, colored)
    axes.scatter(*points[is_other].T, s=9, color="0.85", label=None)
    for i, label in enumerate(colored):
        axes.scatter(
            *points[labels == label].T,
            s=26,
            color=style.COLORS[i % len(style.COLORS)],
            marker=style.MARKERS[(i + i // len(style.COLORS)) % len(style.MARKERS)],
            linewidths=0,
            label=f"{label + 1 if name == 'camera' else label}",
        )
    legend = {"fontsize": style.TEXT - 3, "handletextpad": 0, "columnspacing": 1}
    style.finish(axes, title=name, ncols=_NUM_IDENTITIES // 2, **legend)
