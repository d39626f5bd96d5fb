"""`Run`: opens a run, to embed its dataset or other pictures of persons."""

import functools
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import jax
import numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Float
from ml_collections import config_dict

from reid_jax import parallel, steps
from reid_jax.errors import UserError
from reid_jax.input import augmentation, pictures
from reid_jax.input import source as sources
from reid_jax.models import build_model
from reid_jax.runs import checkpoints, embeddings, published
from reid_jax.runs import folder as run_folder
from reid_jax.runs.embeddings import Embedded, Methods, Network

SPLITS = ("query", "gallery", "train")

_MAX_CHECKPOINTS = 10
"""Maximum number of checkpoints to try while a training run deletes them."""


class Run:
    """The run in `workdir`, at the checkpoint that `config.eval.checkpoint` names.

    A folder of published weights (`runs.published`) counts as a run with one
    checkpoint. Weights and dataset are read once, at their first use.

    - `config`: the config.
    - `pids`: the person id of each label; unknown for published weights.
    - `num_persons`: number of persons that it was trained on.
    - `step`: the step of the checkpoint.
    - `embed_step(params, batch_stats, clips)`: the compiled step, for your programs.
    - `state`: has the `params` and `batch_stats` for that step.
    - `source`: the dataset that `config.data` names. It is in `config.data.data_dir`; a
      relative path starts at the current folder.

    Args:
        workdir: the folder of the run.
        config: by default the config of the training. Another one may differ in how the
            run is evaluated.

    Raises:
        WorkdirError: the folder holds no run, or no checkpoint yet.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        config: config_dict.ConfigDict | None = None,
    ):
        self.workdir = pathlib.Path(workdir)
        self.config = run_folder.load_config(workdir) if config is None else config
        self.pids = run_folder.load_pids(workdir)
        self._has_given_embeddings = False
        self._choose_checkpoint()

    def _choose_checkpoint(self) -> None:
        if published.is_published(self.workdir):
            saved = published.PublishedWeights(self.workdir, self.config)
            self.num_persons = saved.num_persons
        else:
            saved = checkpoints.Checkpoints(self.workdir)
            self.num_persons = len(self.pids)
        self._saved = saved
        choice = self.config.eval.checkpoint
        if choice not in ("latest", "best"):
            raise UserError(f"config.eval.checkpoint={choice!r}; known: latest, best.")
        step = saved.latest_step() if choice == "latest" else saved.best_step()
        if step is None:
            raise run_folder.WorkdirError(
                f"{self.workdir} holds no {choice} checkpoint yet; train first."
            )
        self.step = step
        self.fingerprint = self._saved.fingerprint(step)

    @functools.cached_property
    def source(self) -> sources.Source:
        """The opened dataset that `config.data` names."""
        return sources.open_source(self.config)

    @property
    def folder(self) -> pathlib.Path:
        """The folder of the results on that dataset."""
        return run_folder.eval_folder(self.workdir, self.config.data.name)

    def embed(self, tracks: Sequence[pictures.Track]) -> Float[np.ndarray, "N D"]:
        """Embeds N tracks; a track has pictures of one person, in order of time.

        Frames are resized, and divided into clips, as in the run's evaluation.

        Args:
            tracks: each is uint8 [T, h, w, 3], or a list of RGB pictures of any sizes.

        Raises:
            UserError: names the track that holds something else than pictures.
        """
        return self.embed_with(self.network, tracks)

    def embed_with(
        self, network: Network, tracks: Sequence[pictures.Track]
    ) -> Float[np.ndarray, "N D"]:
        """Like `embed`, but with another network for the same input."""
        clips = pictures.clips_of(tracks, self.config.model.clip_length)
        return self._embed_clips(network, clips, len(tracks))

    def embed_clips(
        self, clips: Iterable[tuple[list[pictures.Picture], int]], num_tracks: int
    ) -> Float[np.ndarray, "N D"]:
        """Embeds tracks whose clips arrive one by one, in any order.

        Use it for tracks that do not fit in memory. The result is that of `embed` if
        each track is divided into clips of T pictures.

        Args:
            clips: pairs of (1 to T pictures of a track, number of the track from 0).
            num_tracks: N.

        Returns:
            The embeddings; nan for a track without a clip.
        """
        return self._embed_clips(self.network, clips, num_tracks, or_nan=True)

    def _embed_clips(self, network, clips, num_tracks, *, or_nan=False):
        if not num_tracks:
            T, frame_size = self.config.model.clip_length, self.config.model.frame_size
            clip = jax.ShapeDtypeStruct((1, T, *frame_size, 3), np.uint8)
            return np.zeros((0, jax.eval_shape(network.embed, clip).shape[1]), "f")
        batches = pictures.clip_batches(
            clips,
            clip_length=self.config.model.clip_length,
            batch_clips=self.config.eval.batch_clips,
            augmentation=augmentation.build_augmentation(self.config),
            normalization=self.config.data.normalization,
            mesh=network.mesh,
        )
        return embeddings.embed_tracklets(network, batches, num_tracks, or_nan=or_nan)

    def embed_split(self, name: str) -> Embedded:
        """Embeds a split of the run's dataset: "query", "gallery" or "train".

        The embeddings are stored beside the run and loaded by the next call.
        """
        if name not in SPLITS:
            raise UserError(f"split {name!r} is unknown; known: {', '.join(SPLITS)}.")

        def compute() -> Embedded:
            return self.network.embed_split(self.source, name)

        return self.load_or_compute({("trained", name): compute})["trained"][name]

    def load_or_compute(
        self, compute: Mapping[tuple[str, str], Callable[[], Embedded]]
    ) -> Methods:
        """Loads embeddings by (method, split); computes and stores missing ones.

        All embeddings are from the same checkpoint. If a training that goes on has
        deleted it, the next checkpoint is used, before anything is computed.

        Args:
            compute: for each (method, split), a function that computes the embeddings.
        """
        if self.missing(compute):
            self.network  # noqa: B018 (restores the checkpoint)
        stored = self._stored()
        self._has_given_embeddings = True
        requested = {}
        for (method, split), compute_split in compute.items():
            method_splits = stored.setdefault(method, {})
            if split not in method_splits:
                method_splits[split] = compute_split()
                embeddings.save(self._embeddings_file, self.cache_key, stored)
            requested.setdefault(method, {})[split] = method_splits[split]
        return requested

    def missing(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Returns the (method, split) whose embeddings are not stored."""
        stored = self._stored()
        return [key for key in keys if key[1] not in stored.get(key[0], {})]

    def store(self, methods: Methods) -> None:
        """Adds embeddings to the stored ones."""
        stored = self._stored()
        for method, splits in methods.items():
            stored[method] = stored.get(method, {}) | splits
        embeddings.save(self._embeddings_file, self.cache_key, stored)

    @property
    def _embeddings_file(self) -> pathlib.Path:
        return self.folder / "embeddings.npz"

    def _stored(self) -> Methods:
        return embeddings.load(self._embeddings_file, self.cache_key)

    @property
    def cache_key(self) -> str:
        """Everything that embeddings depend on; if it changes, they are recomputed."""
        return cache_key(self.config, self.source.fingerprint, self.fingerprint)

    @property
    def pictures_key(self) -> str:
        """Everything that embeddings of given pictures depend on, as text."""
        return json.dumps(network_key(self.config, self.fingerprint), sort_keys=True)

    @functools.cached_property
    def network(self) -> Network:
        """The network of the run with the weights of its checkpoint."""
        mesh = parallel.local_mesh()
        graphdef, params, batch_stats = self._shapes(mesh)
        for _ in range(_MAX_CHECKPOINTS):
            try:
                params, batch_stats = self._saved.restore_weights(
                    self.step, params, batch_stats
                )
                break
            except checkpoints.CheckpointGoneError:
                if self._has_given_embeddings:
                    raise
                self._saved.close()
                self._choose_checkpoint()
        else:
            raise run_folder.WorkdirError(
                f"{self.workdir}: each of {_MAX_CHECKPOINTS} checkpoints was deleted "
                "before it was read; stop the training, or wait."
            )
        self._saved.close()
        self.graphdef = graphdef
        embed_step = steps.make_embed_step(graphdef, self.config)
        return Network(embed_step, params, batch_stats, mesh)

    @functools.cached_property
    def _abstract(self) -> tuple:
        """The network's structure and the shapes of its arrays, without any values."""
        abstract = nnx.eval_shape(
            lambda: build_model(self.config.model, len(self.pids), rngs=nnx.Rngs(0))
        )
        graphdef, *trees = nnx.split(abstract, nnx.Param, nnx.BatchStat)
        return graphdef, *map(nnx.as_pure, trees)

    def _shapes(self, mesh):
        """Returns `_abstract`, with the arrays replicated over `mesh`."""
        graphdef, *trees = self._abstract
        on_all_devices = NamedSharding(mesh, PartitionSpec())

        def on_every_device(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=on_all_devices)

        return graphdef, *jax.tree.map(on_every_device, tuple(trees))

    @functools.cached_property
    def num_params(self) -> int:
        """Number of trainable parameters, with those of the classifier."""
        _, params, _ = self._abstract
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    @property
    def embed_step(self) -> Callable:
        """The compiled `(params, batch_stats, clips) -> ReIDOutput`."""
        return self.network.step

    @property
    def state(self) -> steps.TrainState:
        """Step, parameters and BatchNorm statistics; without the optimizer's state."""
        network = self.network
        return steps.TrainState(self.step, network.params, network.batch_stats, ())

    @property
    def model(self) -> nnx.Module:
        """The network as a module with its weights."""
        network = self.network
        return nnx.merge(self.graphdef, network.params, network.batch_stats)


def cache_key(config, dataset_fingerprint: str, weights_fingerprint: str) -> str:
    """Returns everything that embeddings of a dataset depend on, as text."""
    dependencies = network_key(config, weights_fingerprint) | {
        "max_frames": config.eval.max_frames,
        "dataset": [config.data.name, dataset_fingerprint],
    }
    if config.eval.noise:
        dependencies["noise"] = [config.eval.noise, config.seed]
    return json.dumps(dependencies, sort_keys=True)


def network_key(config, weights_fingerprint: str) -> dict:
    """Returns everything that embeddings of given pictures depend on."""
    return {
        "weights": weights_fingerprint,
        "model": config.model.to_dict(),
        "pixels": [
            config.data.resize,
            config.data.normalization,
            config.data.mean_cube,
        ],
    }
