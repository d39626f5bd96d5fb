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

import argparse
import dataclasses
import functools
import io
import pathlib
import sys

import jax
import numpy as np
from flax import nnx
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import demo
from data.walkers import plan
from data.walkers.sizes import SIZES, Sizes, names
from data.walkers.world import World
from reid_jax import clips, steps
from reid_jax.models import build_model
from reid_jax.retrieval import distances, ranking
from reid_jax.runs import embeddings as embedding
from reid_jax.scoring import color_histogram

_NUM_TRAIN, _NUM_TEST = 240, 60
_P, _K = 8, 4
_EVAL_CLIPS = 64
_MODELS = {
    "image": ("resnet14_w8", "none"),
    "mean": ("resnet14_w8", "avg"),
    "attention": ("resnet14_w8", "attn_tconv"),
    "LSTM": ("resnet14_w8", "lstm"),
    "3-D": ("resnet3d14_w8", "none"),
}
_COLUMNS = (
    *("raw pixels", "colour histogram", "lags", "untrained", "one frame"),
    *_MODELS,
    *("blank", "chance"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ",".join(name for name in SIZES if name != "tiny")
    parser.add_argument("--configs", type=names, default=every)
    parser.add_argument("--steps", type=int, default=400)
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
        described = {column: describe(column) for column in columns}
        for title, twins in ((name, 1), (f"{name}, in group", sizes.twins)):
            if title == name or twins > 1:
                cells = [_score(*described[column], twins) for column in columns]
                print(f"| {title} | " + " | ".join(cells) + " |", flush=True)


def _smaller(sizes: Sizes) -> Sizes:
    """The world with fewer persons and frames."""
    longest = 32 if sizes.twins > 1 else 16
    return dataclasses.replace(
        sizes,
        num_train=_NUM_TRAIN,
        num_test=_NUM_TEST,
        num_distractors=min(sizes.num_distractors, _NUM_TEST),
        num_junk=0,
        num_frames=(min(sizes.num_frames[0], longest), longest),
        median_frames=longest,
        frame_height=64,
        frame_width=32,
    )


class Pool:
    """All tracklets of a world, rendered, or as decoded from its JPEG files."""

    def __init__(self, sizes: Sizes, *, from_files: bool = False):
        self.sizes = sizes
        world = World(sizes)
        both = list(world.render(plan.plan(sizes)))
        if from_files:
            both = [(e, _decoded(world, e.camid, frames)) for e, frames in both]
        self.test = [(e, frames) for e, frames in both if e.split != "train"]
        self.entries = [entry for entry, _ in self.test]
        self._train = {}
        for entry, frames in both:
            if entry.split == "train":
                self._train.setdefault(entry.pid - 1, []).append(frames)

    def batch(self, step: int, T: int) -> dict[str, np.ndarray]:
        """P persons, twins together, K clips of each from different tracklets."""
        rng = np.random.default_rng(step)
        twins = self.sizes.twins
        groups = rng.choice(_NUM_TRAIN // twins, _P // twins, replace=False)
        persons = (groups[:, None] * twins + np.arange(twins)).ravel().tolist()
        chosen = []
        for person in persons:
            tracklets = self._train[person]
            for i in np.resize(rng.permutation(len(tracklets)), _K).tolist():
                frames = tracklets[i]
                chosen.append(frames[clips.sample_clip(rng, len(frames), T)])
        labels = np.repeat(np.asarray(persons, np.int32), _K)
        return {"clips": np.stack(chosen), "labels": labels}


def _decoded(world: World, camid: int, frames: np.ndarray) -> np.ndarray:
    files = (io.BytesIO(world.jpeg(camid, frame)) for frame in frames)
    return np.stack([np.asarray(Image.open(file)) for file in files])


class Descriptions:
    """(descriptions [N,D], entries) of a world's test tracklets, by column."""

    def __init__(self, sizes: Sizes, num_steps: int):
        self._sizes, self._num_steps = sizes, num_steps
        # A stride is 8 to 16 frames long.
        self._T = 8 if sizes.twins > 1 else 4

    @functools.cached_property
    def _pool(self) -> Pool:
        return Pool(self._sizes)

    def _trained(self, kind: str) -> "Network":
        network = Network(kind, self._T, self._num_steps)
        network.train(self._pool)
        return network

    @functools.cached_property
    def _image(self) -> "Network":
        return self._trained("image")

    def __call__(self, column: str):
        if column == "blank":
            style = dataclasses.replace(self._sizes.style, blank=1.0)
            blank = dataclasses.replace(self._sizes, style=style)
            pool = Pool(blank, from_files=True)
            network = Network("mean", self._T, self._num_steps)
            network.train(pool)
            return network.embed(pool.test), pool.entries
        if column == "chance":
            return None, [e for e in plan.plan(self._sizes) if e.split != "train"]
        test = self._pool.test
        match column:
            case "raw pixels":
                rows = [_thumbnails(frames).mean(0) for _, frames in test]
            case "colour histogram":
                histogram = color_histogram.stripe_histogram
                rows = [histogram(frames).mean(0) for _, frames in test]
            case "lags":
                rows = [_lags(frames, 2 * self._T) for _, frames in test]
            case "untrained":
                rows = Network("mean", self._T, self._num_steps).embed(test)
            case "one frame":
                middle = [(e, f[len(f) // 2][None]) for e, f in test]
                rows = self._image.embed(middle)
            case "image":
                rows = self._image.embed(test)
            case _:
                rows = self._trained(column).embed(test)
        return rows, self._pool.entries


class Network:
    """One of `_MODELS`, untrained at first."""

    def __init__(self, kind: str, T: int, num_steps: int):
        self._num_steps = num_steps
        self._T = 1 if kind == "image" else T
        self._clip_length = T
        self._train_step, self._embed_step, initial = _compiled(kind, T, num_steps)
        self._state = jax.tree.map(jax.numpy.copy, initial)

    def train(self, pool: Pool) -> None:
        for step in range(self._num_steps):
            batch = pool.batch(step, self._clip_length)
            if self._T == 1:  # each frame is a clip
                frames, labels = batch["clips"], batch["labels"]
                frames = frames.reshape(-1, 1, *frames.shape[2:])
                labels = np.repeat(labels, self._clip_length)
                batch = {"clips": frames, "labels": labels}
            self._state, _ = self._train_step(self._state, batch)

    def embed(self, tracklets) -> np.ndarray:
        pairs = [
            (frames[clip], i)
            for i, (_, frames) in enumerate(tracklets)
            for clip in clips.dense_clips(len(frames), self._T)
        ]
        pairs += [(pairs[-1][0], -1)] * (-len(pairs) % _EVAL_CLIPS)
        columns = (np.stack(column) for column in zip(*pairs, strict=True))
        shown, tracklet = (
            array.reshape(-1, _EVAL_CLIPS, *array.shape[1:]) for array in columns
        )
        batches = (
            {"clips": some, "tracklet": theirs}
            for some, theirs in zip(shown, tracklet, strict=True)
        )
        params, batch_stats = self._state.params, self._state.batch_stats

        def embed_clips(batch):
            return self._embed_step(params, batch_stats, batch).embedding

        return embedding.embed_tracklets(embed_clips, batches, len(tracklets))


@functools.cache
def _compiled(kind: str, T: int, num_steps: int):
    """Training step, embedding step and initial state: the same for all worlds."""
    config = demo.get_config()
    config.model.backbone, config.model.temporal = _MODELS[kind]
    config.model.clip_length = 1 if kind == "image" else T
    config.model.rnn_dim = 128
    # Three quarters at full speed, the rest at a tenth of it.
    config.train.decay_every_epochs = 3 * num_steps // 4
    config.train.warmup_epochs = 20
    schedule = steps.learning_rate_schedule(config, steps_per_epoch=1)
    optimizer = steps.build_optimizer(config, schedule)
    model = build_model(config.model, _NUM_TRAIN, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, optimizer)
    return (
        steps.make_train_step(graphdef, optimizer, config),
        steps.make_embed_step(graphdef, config),
        state,
    )


def _score(rows, entries, twins: int) -> str:
    is_query = np.array([e.split == "query" for e in entries])
    pids, camids = (
        np.array([getattr(e, f) for e in entries]) for f in ("pid", "camid")
    )
    group = (pids - 1) // twins
    is_other = group[is_query][:, None] != group[~is_query][None]
    # Those of the query's camera would be nearest, and wrong.
    is_other |= camids[is_query][:, None] == camids[~is_query][None]
    labels = pids[is_query], pids[~is_query], camids[is_query], camids[~is_query]
    if rows is None:
        rng = np.random.default_rng(0)
        drawn = [rng.random(is_other.shape, np.float32) for _ in range(20)]
    else:
        rows = np.asarray(rows, np.float32)
        drawn = [np.array(distances.l2(rows[is_query], rows[~is_query]))]
    results = [
        ranking.evaluate(np.where(is_other & (twins > 1), 1e9, matrix), *labels)
        for matrix in drawn
    ]
    mean_ap, rank1 = (
        100 * np.mean([get(r) for r in results])
        for get in (lambda r: r.mean_ap, lambda r: r.cmc[0])
    )
    return f"{mean_ap:.1f} / {rank1:.1f}"


def _lags(frames, num: int) -> np.ndarray:
    grey = frames.mean(-1)
    lags = np.arange(1, num + 1)
    known = lags[lags < len(frames)]
    differences = np.array([np.abs(grey[n:] - grey[:-n]).mean() for n in known])
    if len(known) < 4:  # as good as nothing
        return np.zeros(num)
    differences -= np.polyval(np.polyfit(known, differences, 2), known)
    differences /= np.linalg.norm(differences) + 1e-9
    return np.pad(differences, (0, num - len(known)))


def _thumbnails(frames) -> np.ndarray:
    small = [Image.fromarray(f).resize((16, 32), Image.BOX) for f in frames]
    return np.stack([np.asarray(f, np.float32).ravel() / 255 for f in small])


if __name__ == "__main__":
    main()
