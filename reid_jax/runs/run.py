"""`Run`: a run that was opened, to embed what it was trained on and anything else."""

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

_MOST_CHECKPOINTS = 10
"""Checkpoints that are tried while a training run deletes them."""


class Run:
    """The run in `workdir`, at the checkpoint that `config.eval.checkpoint` names.

    A folder of published weights (`runs.published`) is a run of one checkpoint.

    Each thing is read once, when it is first asked for. `config` is by default the one
    that the run was trained with; a given one may differ in how it is evaluated.

    - `config`, `pids` (the person of each label; of published weights they are not
      known), `num_persons` (trained on), `step` (of the checkpoint);
    - `embed_step(params, batch_stats, clips)` and `state` (its `params` and
      `batch_stats`), for programs of one's own;
    - `source`: the dataset that `config.data` names, in `config.data.data_dir`, which
      is relative to the current folder unless the run was trained with another one.

    Raises WorkdirError where the folder holds no run, or no checkpoint yet.
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
        which = self.config.eval.checkpoint
        if which not in ("latest", "best"):
            raise UserError(f"config.eval.checkpoint={which!r}; known: latest, best.")
        step = saved.latest_step() if which == "latest" else saved.best_step()
        if step is None:
            raise run_folder.WorkdirError(
                f"{self.workdir} holds no {which} checkpoint yet; train first."
            )
        self.step = step
        self.fingerprint = self._saved.fingerprint(step)

    @functools.cached_property
    def source(self) -> sources.Source:
        """The dataset that `config.data` names, opened."""
        return sources.open_source(self.config)

    @property
    def folder(self) -> pathlib.Path:
        """Where the results on that dataset go."""
        return run_folder.eval_folder(self.workdir, self.config.data.name)

    def embed(self, tracks: Sequence[pictures.Track]) -> Float[np.ndarray, "N D"]:
        """Embeddings of N tracks: pictures of one person each, in order of time.

        A track is uint8 [T, h, w, 3], or a list of RGB pictures of any sizes. They are
        resized and put together as the run's own evaluation does it.
        Raises UserError, with the track's number, for what is no picture.
        """
        return self.embed_with(self.network, tracks)

    def embed_with(
        self, network: Network, tracks: Sequence[pictures.Track]
    ) -> Float[np.ndarray, "N D"]:
        """Like `embed`, by another network of the same kind."""
        of_tracks = pictures.clips_of(tracks, self.config.model.clip_length)
        return self._embed_clips(network, of_tracks, len(tracks))

    def embed_clips(
        self, clips: Iterable[tuple[list[pictures.Picture], int]], num_tracks: int
    ) -> Float[np.ndarray, "N D"]:
        """Embeddings of tracks whose clips come in any order, one clip at a time.

        A clip is 1 to T of a track's pictures and its number, from 0. For tracks that
        are too many to be held: each of `embed` is its frames in clips of T. A track
        without a clip has nan.
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
        """A split of the run's dataset ("query", "gallery", "train"), embedded.

        What was embedded once is stored beside the run and used again.
        """
        if name not in SPLITS:
            raise UserError(f"split {name!r} is unknown; known: {', '.join(SPLITS)}.")

        def compute() -> Embedded:
            return self.network.embed_split(self.source, name)

        return self.load_or_compute({("trained", name): compute})["trained"][name]

    def load_or_compute(
        self, compute: Mapping[tuple[str, str], Callable[[], Embedded]]
    ) -> Methods:
        """Stored embeddings by (method, split); what is missing is computed and stored.

        All are of one checkpoint: where that was deleted by a run that goes on
        training, the next one takes its place before anything is computed.
        """
        if self.lacking(compute):
            self.network  # noqa: B018 (opens the checkpoint)
        stored = self._stored()
        self._has_given_embeddings = True
        found = {}
        for (method, split), make in compute.items():
            of_method = stored.setdefault(method, {})
            if split not in of_method:
                of_method[split] = make()
                embeddings.save(self._embeddings_file, self.cache_key, stored)
            found.setdefault(method, {})[split] = of_method[split]
        return found

    def lacking(self, keys: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of some (method, split) whose embeddings are not stored."""
        stored = self._stored()
        return [key for key in keys if key[1] not in stored.get(key[0], {})]

    def store(self, made: Methods) -> None:
        """Stores embeddings beside those that are stored."""
        stored = self._stored()
        for method, splits in made.items():
            stored[method] = stored.get(method, {}) | splits
        embeddings.save(self._embeddings_file, self.cache_key, stored)

    @property
    def _embeddings_file(self) -> pathlib.Path:
        return self.folder / "embeddings.npz"

    def _stored(self) -> Methods:
        return embeddings.load(self._embeddings_file, self.cache_key)

    @property
    def cache_key(self) -> str:
        """All that embeddings depend on; they are made again when it differs."""
        return cache_key(self.config, self.source.fingerprint, self.fingerprint)

    @property
    def pictures_key(self) -> str:
        """All that embeddings of given pictures depend on."""
        return json.dumps(network_key(self.config, self.fingerprint), sort_keys=True)

    @functools.cached_property
    def network(self) -> Network:
        """The network of the run with the weights of its checkpoint."""
        mesh = parallel.local_mesh()
        graphdef, params, batch_stats = self._shapes(mesh)
        for _ in range(_MOST_CHECKPOINTS):
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
                f"{self.workdir}: each of {_MOST_CHECKPOINTS} checkpoints was deleted "
                "before it was read; stop the training, or wait."
            )
        self._saved.close()
        self.graphdef = graphdef
        embed_step = steps.make_embed_step(graphdef, self.config)
        return Network(embed_step, params, batch_stats, mesh)

    @functools.cached_property
    def _abstract(self) -> tuple:
        """The network's structure, and its arrays as shapes: nothing is drawn."""
        abstract = nnx.eval_shape(
            lambda: build_model(self.config.model, len(self.pids), rngs=nnx.Rngs(0))
        )
        graphdef, *trees = nnx.split(abstract, nnx.Param, nnx.BatchStat)
        return graphdef, *map(nnx.as_pure, trees)

    def _shapes(self, mesh):
        """`_abstract`, with the arrays on every device of `mesh`."""
        graphdef, *trees = self._abstract
        everywhere = NamedSharding(mesh, PartitionSpec())

        def on_every_device(leaf):
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=everywhere)

        return graphdef, *jax.tree.map(on_every_device, tuple(trees))

    @functools.cached_property
    def num_params(self) -> int:
        """Numbers that training changes; the classifier's are among them."""
        _, params, _ = self._abstract
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    @property
    def embed_step(self) -> Callable:
        """The compiled `(params, batch_stats, clips) -> ReIDOutput`."""
        return self.network.step

    @property
    def state(self) -> steps.TrainState:
        """Step, parameters and statistics; the optimizer's moments are not read."""
        network = self.network
        return steps.TrainState(self.step, network.params, network.batch_stats, ())

    @property
    def model(self) -> nnx.Module:
        """The network as a module."""
        network = self.network
        return nnx.merge(self.graphdef, network.params, network.batch_stats)


def cache_key(config, dataset_fingerprint: str, weights_fingerprint: str) -> str:
    """What embeddings of a dataset depend on, as one comparable text."""
    made_from = network_key(config, weights_fingerprint) | {
        "max_frames": config.eval.max_frames,
        "dataset": [config.data.name, dataset_fingerprint],
    }
    if config.eval.noise:
        made_from["noise"] = [config.eval.noise, config.seed]
    return json.dumps(made_from, sort_keys=True)


def network_key(config, weights_fingerprint: str) -> dict:
    """What embeddings of given pictures depend on."""
    return {
        "weights": weights_fingerprint,
        "model": config.model.to_dict(),
        "pixels": [
            config.data.resize,
            config.data.normalization,
            config.data.mean_cube,
        ],
    }
