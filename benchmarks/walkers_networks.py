"""The small networks that benchmarks/walkers.py trains, and their training data."""

import functools
import io

import jax
import numpy as np
from flax import nnx
from PIL import Image

from configs import demo
from data.walkers import plan
from data.walkers.sizes import Sizes
from data.walkers.world import World
from reid_jax import clips, parallel, steps
from reid_jax.input import augmentation, pictures
from reid_jax.models import build_model
from reid_jax.runs import embeddings

NUM_TRAIN = 240
FRAME_SIZE = (64, 32)
MODELS = {
    "image": ("resnet14_w8", "none"),
    "mean": ("resnet14_w8", "avg"),
    "attention": ("resnet14_w8", "attn_tconv"),
    "LSTM": ("resnet14_w8", "lstm"),
    "3-D": ("resnet3d14_w8", "none"),
}

_P, _K = 8, 4
_EVAL_CLIPS = 64


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


class Network:
    """One of `MODELS`, untrained at first."""

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
            augmentation=augmentation.Augmentation(FRAME_SIZE),
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
    config.model.backbone, config.model.temporal = MODELS[kind]
    config.model.clip_length = 1 if kind == "image" else T
    config.model.rnn_dim = 128
    # Three quarters at full speed, the rest at a tenth of it.
    config.train.update(decay_every_epochs=3 * num_steps // 4, warmup_epochs=20)
    schedule = steps.learning_rate_schedule(config, steps_per_epoch=1)
    optimizer = steps.build_optimizer(config, schedule)
    model = build_model(config.model, NUM_TRAIN, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    return config, train_step, steps.make_embed_step(graphdef, config), state
