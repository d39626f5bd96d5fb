"""mAP and CMC-1 of runs on tracklets of your own, beside pixels and a colour histogram.

python benchmarks/given_tracklets.py pets.npz --workdir=weights/rendered,runs/demo

A file holds `frames` uint8 [N, h, w, 3] in RGB, and for each of them `tracklet` [N],
from 0, and `pid` [N]. Every tracklet is a query in turn. All others are its gallery,
whatever camera they are from. Distances are cosine distances. `pixels` are frames of
32×16, `histogram` is `color_histogram.stripe_histogram`; both are averaged over a
tracklet's frames.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from reid_jax import Run
from reid_jax.retrieval import distances, ranking
from reid_jax.scoring import color_histogram


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=pathlib.Path, help=".npz files")
    parser.add_argument("--workdir", required=True, help="runs, separated by commas")
    args = parser.parse_args()
    embedders = {"pixels": _pixels, "histogram": _histogram}
    embedders |= {name: Run(name).embed for name in args.workdir.split(",")}
    width = max(map(len, embedders))
    for file in args.files:
        with np.load(file) as arrays:
            frames, tracklet, pid = (arrays[k] for k in ("frames", "tracklet", "pid"))
        numbers = np.arange(tracklet.max() + 1)
        tracks = [list(frames[tracklet == number]) for number in numbers]
        pids = np.array([pid[tracklet == number][0] for number in numbers])
        print(f"{file.stem}: {len(tracks)} tracklets of {len(np.unique(pids))} persons")
        for name, embed in embedders.items():
            x = np.asarray(embed(tracks), np.float32)
            # Each tracklet has a camera of its own: only the query itself is left out.
            found = ranking.evaluate(
                distances.cosine(x, x), pids, pids, numbers, numbers
            )
            print(
                f"  {name:{width}}  mAP {100 * found.mean_ap:5.1f}  "
                f"CMC-1 {100 * found.cmc[0]:5.1f}  queries {found.num_valid}"
            )


def _pixels(tracks: list[list[np.ndarray]]) -> np.ndarray:
    """Mean of each track's frames at 32×16, flat: [N, 1536]."""

    def small(frame):
        return np.asarray(Image.fromarray(frame).resize((16, 32), Image.Resampling.BOX))

    return np.stack([np.mean([small(f) for f in t], axis=0).ravel() for t in tracks])


def _histogram(tracks: list[list[np.ndarray]]) -> np.ndarray:
    """Mean of the histograms of each track's frames: [N, 288]."""
    of_tracks = [color_histogram.stripe_histogram(np.stack(t)) for t in tracks]
    return np.stack([histograms.mean(axis=0) for histograms in of_tracks])


if __name__ == "__main__":
    main()
