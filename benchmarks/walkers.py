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
import io
import pathlib
import sys

import jax
import numpy as np
from flax import nnx
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from configs import demo
from data.walkers import plan
from data.walkers.sizes import SIZES, Sizes, names
from data.walkers.world import World
from reid_jax import clips, parallel, steps
from reid_jax.input import augmentation, pictures
from reid_jax.models import build_model
from reid_jax.retrieval import distances, ranking
from reid_jax.runs import embeddings
from reid_jax.scoring import color_histogram

_NUM_TRAIN, _NUM_TEST = 240, 60
_P, _K = 8, 4
_EVAL_CLIPS = 64
_FRAME_SIZE = (64, 32)
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
    height, width = _FRAME_SIZE
    return dataclasses.replace(
        sizes,
        num_train=_NUM_TRAIN,
        num_test=_NUM_TEST,
        num_distractors=min(sizes.num_distractors, _NUM_TEST),
        num_junk=0,
        num_frames=(min(sizes.num_frames[0], longest), longest),
        median_frames=longest,
        frame_height=height,
        frame_width=width,
    )


class Pool:
    """All tracklets of a world, rendered, or as decoded from its JPEG files.

    `test` are the frames of those that are not trained on, in the order of the plan.
    """

    def __init__(self, sizes: Sizes, *, from_files: bool = False):
        self._twins = sizes.twins
        self.test, self._train = [], {}
        world = World(sizes)
        for entry, frames in world.render(plan.plan(sizes)):
            if from_files:
                files = (io.BytesIO(world.jpeg(entry.camid, frame)) for frame in frames)
                frames = np.stack([np.asarray(Image.open(file)) for file in files])
            if entry.split == "train":
                self._train.setdefault(entry.pid - 1, []).append(frames)
            else:
                self.test.append(frames)

    def batch(self, step: int, T: int) -> dict[str, np.ndarray]:
        """P persons, twins together, K clips of each from different tracklets."""
        rng = np.random.default_rng(step)
        twins = self._twins
        groups = rng.choice(len(self._train) // twins, _P // twins, replace=False)
        persons = (groups[:, None] * twins + np.arange(twins)).ravel().tolist()
        chosen = []
        for person in persons:
            tracklets = self._train[person]
            for i in np.resize(rng.permutation(len(tracklets)), _K).tolist():
                frames = tracklets[i]
                chosen.append(frames[clips.sample_clip(rng, len(frames), T)])
        labels = np.repeat(np.asarray(persons, np.int32), _K)
        return {"clips": np.stack(chosen), "labels": labels}


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
    def _image(self) -> "Network":
        return self._network("image").train(self._pool)

    def _network(self, kind: str) -> "Network":
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


class Network:
    """One of `_MODELS`, untrained at first."""

    def __init__(self, kind: str, T: int, num_steps: int):
        self._num_steps, self._T = num_steps, T
        self._config, self._train_step, self._embed_step, initial = _compiled(
            kind, T, num_steps
        )
        self._state = jax.tree.map(jax.numpy.copy, initial)

    def train(self, pool: Pool) -> "Network":
        """Itself, trained."""
        for step in range(self._num_steps):
            batch = pool.batch(step, self._T)
            if self._config.model.clip_length == 1:  # each frame is a clip
                frames, labels = batch["clips"], np.repeat(batch["labels"], self._T)
                frames = frames.reshape(-1, 1, *frames.shape[2:])
                batch = {"clips": frames, "labels": labels}
            self._state, _ = self._train_step(self._state, batch)
        return self

    def embed(self, tracks: list[np.ndarray]) -> np.ndarray:
        """The embedding of each track."""
        mesh = parallel.local_mesh()
        batches = pictures.picture_batches(
            tracks,
            clip_length=self._config.model.clip_length,
            batch_clips=_EVAL_CLIPS,
            augmentation=augmentation.Augmentation(_FRAME_SIZE),
            normalization=self._config.data.normalization,
            mesh=mesh,
        )
        state = self._state
        network = embeddings.Network(
            self._embed_step, state.params, state.batch_stats, mesh
        )
        return embeddings.embed_tracklets(network, batches, len(tracks))


@functools.cache
def _compiled(kind: str, T: int, num_steps: int):
    """Config, training step, embedding step and initial state, for all worlds."""
    config = demo.get_config()
    config.model.backbone, config.model.temporal = _MODELS[kind]
    config.model.clip_length = 1 if kind == "image" else T
    config.model.rnn_dim = 128
    # Three quarters at full speed, the rest at a tenth of it.
    config.train.update(decay_every_epochs=3 * num_steps // 4, warmup_epochs=20)
    schedule = steps.learning_rate_schedule(config, steps_per_epoch=1)
    optimizer = steps.build_optimizer(config, schedule)
    model = build_model(config.model, _NUM_TRAIN, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    return config, train_step, steps.make_embed_step(graphdef, config), state


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
