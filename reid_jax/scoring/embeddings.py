"""Embeds what a score needs, by the trained network and by baselines."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from flax import nnx

from reid_jax import parallel, peers
from reid_jax.models import build_model
from reid_jax.retrieval import centering, match_ranks
from reid_jax.runs import folder as run_folder
from reid_jax.runs import pretrained
from reid_jax.runs.embeddings import Embedded, Methods, Network, embed_tracklets
from reid_jax.runs.run import SPLITS, Run
from reid_jax.scoring import color_histogram, metrics

METHODS = ("trained", "untrained", "color_histogram")


def embed_run(run: Run, *, baselines: bool = False) -> Methods:
    """Embeds query and gallery of the run's dataset, or loads stored embeddings.

    The training split is included when a metric is learnt on it. Without `baselines`
    only the trained network embeds; with them all `METHODS` do.
    """
    return run.load_or_compute(_computations(run, baselines))


def embed_run_together(run: Run, *, baselines: bool = False) -> None:
    """Stores what `embed_run` needs; each process embeds a share of every split.

    All processes must call this; the first one stores. A single process does nothing.

    Raises:
        UserError: the processes have different weights or data.
    """
    if peers.share() == (0, 1):
        return
    compute = _computations(run, baselines, together=True)
    missing = peers.told_by_all(run.missing(compute))[0]
    if not missing:
        return
    run.network  # noqa: B018 (opens the checkpoint)
    peers.check_same({"step": run.step, "key": run.cache_key}, "checkpoints or data")
    for method, split in missing:
        embedded = compute[method, split]()
        if peers.is_main_process():
            run.store({method: {split: embedded}})


def _computations(
    run: Run, baselines: bool, *, together: bool = False
) -> dict[tuple[str, str], Callable[[], Embedded]]:
    """Returns the function that embeds each (method, split).

    `together` is that of `embed_tracklets`.
    """
    methods = METHODS if baselines else METHODS[:1]
    splits = SPLITS if metrics.are_learnt(run.config.eval.metric) else SPLITS[:2]
    untrained = functools.cache(lambda: untrained_network(run))

    def embed(method: str, split: str) -> Embedded:
        if method == "color_histogram":
            return _color_histogram(run.source, split, together)
        network = run.network if method == "trained" else untrained()
        return network.embed_split(run.source, split, together=together)

    return {
        (method, split): functools.partial(embed, method, split)
        for method in methods
        for split in splits
    }


def embed_queries_and_gallery(network: Network, source) -> dict[str, Embedded]:
    """Embeds query and gallery of a source by one network."""
    return {name: network.embed_split(source, name) for name in SPLITS[:2]}


def as_scored(splits: dict[str, Embedded], config) -> dict[str, Embedded]:
    """Subtracts each camera's mean embedding if `config.eval.center_cameras` is set.

    For query and gallery, a camera's mean is over all its tracklets in both, junk and
    distractors included, whatever the protocol leaves out. In the training split, on
    which metrics are learnt, it is over that split's tracklets without junk.
    """
    if not config.eval.center_cameras:
        return splits
    test = [splits[name] for name in SPLITS[:2]]
    test_embeddings = centering.center_cameras(
        *(np.concatenate([getattr(s, field) for s in test]) for field in _CENTERED)
    )
    query_and_gallery = np.split(test_embeddings, [len(test[0].pids)])
    centered = dict(zip(SPLITS[:2], query_and_gallery, strict=True))
    if "train" in splits:
        train = splits["train"]
        is_person = train.pids != match_ranks.JUNK_PID
        centered["train"] = train.embeddings.copy()
        centered["train"][is_person] = centering.center_cameras(
            *(getattr(train, field)[is_person] for field in _CENTERED)
        )
    return {
        name: dataclasses.replace(embedded, embeddings=centered[name])
        for name, embedded in splits.items()
    }


_CENTERED = ("embeddings", "camids")


def untrained_network(run: Run) -> Network:
    """Builds the run's network before its first step, on this process's devices."""
    config = run_folder.load_config(run.workdir)  # the seed and start it trained with
    model = build_model(config.model, len(run.pids), rngs=nnx.Rngs(config.seed))
    if config.init_from:
        labels = run_folder.training_name(config), run.pids
        pretrained.start(model, config, labels)
    _, *weights = nnx.split(model, nnx.Param, nnx.BatchStat)
    mesh = run.network.mesh
    weights = parallel.replicate(tuple(map(nnx.as_pure, weights)), mesh)
    return Network(run.embed_step, *weights, mesh)


def _color_histogram(source, split: str, together: bool) -> Embedded:
    tracklets = source.split(split)
    share = peers.share() if together else (0, 1)
    embeddings = embed_tracklets(
        lambda clips: color_histogram.stripe_histogram(np.asarray(clips)[:, 0]),
        source.eval_batches(split, clip_length=1, share=share),
        len(tracklets),
        together=together,
    )
    return Embedded(embeddings, tracklets.pids, tracklets.camids, tracklets.names)
