"""How hard each config of walkers is for what has not learnt anything.

python benchmarks/walkers.py [--configs=street_small,twins] [--persons=60]

mAP / CMC-1 in percent of four descriptions of a tracklet: its mean frame's raw pixels
(32x16), colour histograms of six stripes (of all frames, of one), an untrained
network. `blank` is the same world without its persons, where no score should be above
`chance`, a random order. `in group`: CMC-1 where the gallery holds
only the query's twins. Frames are rendered, not read from a data set: no JPEG.
"""

import argparse
import dataclasses
import pathlib
import sys

import jax
import numpy as np
from flax import nnx
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import demo
from data.walkers import plan
from data.walkers.sizes import SIZES
from data.walkers.world import World
from reid_jax import color_histogram, pixels
from reid_jax.models import build_model
from reid_jax.retrieval import distances, ranking

_MAX_FRAMES = 8
"""Frames of a tracklet that are looked at, from its start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", default=",".join(n for n in SIZES if n != "tiny"))
    parser.add_argument("--persons", type=int, default=60, help="test persons")
    parser.add_argument("--blank", action="store_true", help="blank worlds too")
    args = parser.parse_args()
    print("| world | raw pixels | colour histogram | one frame | untrained | chance |")
    print("|---|---|---|---|---|---|")
    for name in args.configs.split(","):
        for blank in (False, True) if args.blank else (False,):
            _report(name, _smaller(SIZES[name], args.persons, blank), blank)


def _smaller(sizes, num_persons: int, blank: bool):
    """The config at 64x32, its first `num_persons` test persons, short tracklets."""
    style = dataclasses.replace(sizes.style, blank=float(blank))
    shortest = min(sizes.num_frames[0], _MAX_FRAMES)
    return dataclasses.replace(
        sizes,
        num_test=min(sizes.num_test, num_persons),
        num_distractors=min(sizes.num_distractors, num_persons),
        num_junk=0,
        num_frames=(shortest, _MAX_FRAMES),
        median_frames=_MAX_FRAMES,
        frame_height=64,
        frame_width=32,
        style=style,
    )


def _report(name: str, sizes, blank: bool) -> None:
    entries = [e for e in plan.plan(sizes) if e.split != "train"]
    describe = {
        "raw pixels": _thumbnails,
        "colour histogram": color_histogram.stripe_histogram,
        "one frame": lambda frames: color_histogram.stripe_histogram(frames[:1]),
        "untrained": _network(),
    }
    rows = {method: [] for method in describe}
    for _, frames in World(sizes).render(entries):
        for method, function in describe.items():
            rows[method].append(np.asarray(function(frames)).mean(0))
    rows["chance"] = list(np.random.default_rng(0).normal(size=(len(entries), 64)))
    cells = []
    for descriptions in rows.values():
        text = _score(np.array(descriptions, np.float32), entries)
        if sizes.twins > 1:
            inside = _score(np.array(descriptions), entries, sizes.twins)
            text += f" (in group {inside.split(' / ')[1]})"
        cells.append(text)
    title = f"{name}, blank" if blank else name
    print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def _score(rows: np.ndarray, entries, twins: int | None = None) -> str:
    is_query = np.array([e.split == "query" for e in entries])
    matrix = np.array(distances.l2(rows[is_query], rows[~is_query]))
    pids, camids = (
        np.array([getattr(e, f) for e in entries]) for f in ("pid", "camid")
    )
    if twins:
        group = (pids - 1) // twins
        matrix[group[is_query][:, None] != group[~is_query][None]] = 1e9
    result = ranking.evaluate(
        matrix, pids[is_query], pids[~is_query], camids[is_query], camids[~is_query]
    )
    return f"{100 * result.mean_ap:.1f} / {100 * result.cmc[0]:.1f}"


def _thumbnails(frames) -> np.ndarray:
    small = [Image.fromarray(f).resize((16, 32), Image.BOX) for f in frames]
    return np.stack([np.asarray(f, np.float32).ravel() / 255 for f in small])


def _network():
    config = demo.get_config()
    T = config.model.clip_length
    model = build_model(config.model, 100, rngs=nnx.Rngs(0))
    graphdef, state = nnx.split(model)

    @jax.jit
    def embed(state, clips):
        clips = pixels.normalize(clips, config.data.normalization)
        return nnx.merge(graphdef, state)(clips, train=False).embedding

    def describe(frames):
        frames = frames[np.arange(2 * T) % len(frames)]
        return embed(state, frames.reshape(2, T, *frames.shape[1:]))

    return describe


if __name__ == "__main__":
    main()
