"""How hard each world of walkers is: for colours, small networks, backdrops.

python benchmarks/walkers.py [--configs=street_small,twins] [--columns=mean,blank]

mAP / CMC-1 in percent, frames of 64x32, tracklets of at most 16 frames (twins: 32), 240
persons to train on and 60 others to find. `raw pixels` (32x16) and `colour histogram`
(of six stripes) are means over a tracklet's frames. `lags` knows motion only: the mean
differences of frames 1 to 8 (twins: 16) apart, each tracklet's without their quadratic
trend and scale. `untrained` is the network of `mean` before training. The others are
trained, a few minutes for each world: `one frame` and `image` are one network, which
sees a tracklet's middle frame or all of them. `blank` is the network of `mean` trained
and tested on the same world without its persons, as JPEG files of the cameras'
qualities: neither backdrops nor files should do better than `chance`, the mean of
random orders. `in group`: the gallery holds nobody but the query's twins in other
cameras. But for `blank`, frames are rendered, not read from files: no JPEG.
"""

import dataclasses
import functools
import pathlib
import sys

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from benchmarks.walkers_networks import FRAME_SIZE, MODELS, NUM_TRAIN, Network, Pool
from data.walkers import plan
from data.walkers.sizes import SIZES, Sizes, names
from reid_jax.retrieval import distances, ranking
from reid_jax.scoring import color_histogram

_NUM_TEST = 60
_COLUMNS = (
    *("raw pixels", "colour histogram", "lags", "untrained", "one frame"),
    *MODELS,
    *("blank", "chance"),
)


def main() -> None:
    parser = measuring.parser(__doc__)
    every = ",".join(name for name in SIZES if name != "tiny")
    parser.add_argument("--configs", type=names, default=every)
    parser.add_argument("--steps", type=measuring.at_least(1), default=400)
    parser.add_argument("--columns", default=",".join(_COLUMNS))
    args = parser.parse_args()
    columns = args.columns.split(",")
    if unknown := set(columns) - set(_COLUMNS):
        known = ", ".join(_COLUMNS)
        parser.error(f"--columns: {', '.join(unknown)} unknown; known: {known}")
    print("| world | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in args.configs:
        sizes = _smaller(SIZES[name])
        describe = Descriptions(sizes, args.steps)
        described = [describe(column) for column in columns]
        titles = {name: 1}
        if sizes.twins > 1:
            titles[f"{name}, in group"] = sizes.twins
        for title, twins in titles.items():
            cells = [_score(rows, describe.entries, twins) for rows in described]
            print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def _smaller(sizes: Sizes) -> Sizes:
    """The world with fewer persons and frames."""
    longest = 32 if sizes.twins > 1 else 16
    height, width = FRAME_SIZE
    return dataclasses.replace(
        sizes,
        num_train=NUM_TRAIN,
        num_test=_NUM_TEST,
        num_distractors=min(sizes.num_distractors, _NUM_TEST),
        num_junk=0,
        num_frames=(min(sizes.num_frames[0], longest), longest),
        median_frames=longest,
        frame_height=height,
        frame_width=width,
    )


class Descriptions:
    """Descriptions [N, D] of a world's test tracklets by column; None for `chance`."""

    def __init__(self, sizes: Sizes, num_steps: int):
        self._sizes, self._num_steps = sizes, num_steps
        self.entries = [e for e in plan.plan(sizes) if e.split != "train"]
        # A stride is 8 to 16 frames long.
        self._T = 8 if sizes.twins > 1 else 4

    @functools.cached_property
    def _pool(self) -> Pool:
        return Pool(self._sizes)

    @functools.cached_property
    def _blank_pool(self) -> Pool:
        style = dataclasses.replace(self._sizes.style, blank=1.0)
        return Pool(dataclasses.replace(self._sizes, style=style), from_files=True)

    @functools.cached_property
    def _image(self) -> Network:
        return self._network("image").train(self._pool)

    def _network(self, kind: str) -> Network:
        return Network(kind, self._T, self._num_steps)

    def __call__(self, column: str) -> np.ndarray | None:
        match column:
            case "chance":
                return None
            case "blank":
                pool = self._blank_pool
                return self._network("mean").train(pool).embed(pool.test)
            case "raw pixels":
                rows = [_thumbnails(frames).mean(0) for frames in self._pool.test]
                return np.stack(rows)
            case "colour histogram":
                histograms = map(color_histogram.stripe_histogram, self._pool.test)
                return np.stack([rows.mean(0) for rows in histograms])
            case "lags":
                return np.stack([_lags(f, 2 * self._T) for f in self._pool.test])
            case "untrained":
                return self._network("mean").embed(self._pool.test)
            case "one frame":
                middle = [frames[len(frames) // 2][None] for frames in self._pool.test]
                return self._image.embed(middle)
            case "image":
                return self._image.embed(self._pool.test)
        return self._network(column).train(self._pool).embed(self._pool.test)


def _score(rows: np.ndarray | None, entries: list[plan.Entry], twins: int) -> str:
    """mAP / CMC-1 in percent, of `rows` or of random orders."""
    is_query = np.array([entry.split == "query" for entry in entries])
    pids = np.array([entry.pid for entry in entries])
    camids = np.array([entry.camid for entry in entries])
    group = (pids - 1) // twins
    is_other = group[is_query][:, None] != group[~is_query][None]
    # Those of the query's camera would be nearest, and wrong.
    is_other |= camids[is_query][:, None] == camids[~is_query][None]
    labels = pids[is_query], pids[~is_query], camids[is_query], camids[~is_query]
    if rows is None:
        rng = np.random.default_rng(0)
        matrices = [rng.random(is_other.shape, np.float32) for _ in range(20)]
    else:
        rows = np.asarray(rows, np.float32)
        matrices = [np.array(distances.l2(rows[is_query], rows[~is_query]))]
    found = [
        ranking.evaluate(np.where(is_other & (twins > 1), 1e9, matrix), *labels)
        for matrix in matrices
    ]
    mean_ap = 100 * np.mean([one.mean_ap for one in found])
    rank1 = 100 * np.mean([one.cmc[0] for one in found])
    return f"{mean_ap:.1f} / {rank1:.1f}"


def _lags(frames: np.ndarray, num: int) -> np.ndarray:
    grey = frames.mean(-1)
    lags = np.arange(1, num + 1)
    known = lags[lags < len(frames)]
    differences = np.array([np.abs(grey[n:] - grey[:-n]).mean() for n in known])
    if len(known) < 4:  # as good as nothing
        return np.zeros(num)
    differences -= np.polyval(np.polyfit(known, differences, 2), known)
    differences /= np.linalg.norm(differences) + 1e-9
    return np.pad(differences, (0, num - len(known)))


def _thumbnails(frames: np.ndarray) -> np.ndarray:
    small = [Image.fromarray(f).resize((16, 32), Image.BOX) for f in frames]
    return np.stack([np.asarray(f, np.float32).ravel() / 255 for f in small])


if __name__ == "__main__":
    main()
