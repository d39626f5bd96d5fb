"""A run's embeddings of a dataset: stored beside the run, or made by its network."""

import json
import pathlib
from collections.abc import Callable

import numpy as np
from flax import nnx

from reid_jax import parallel, steps
from reid_jax.input import source as sources
from reid_jax.models import build_model
from reid_jax.runs import checkpoints, pretrained
from reid_jax.runs import folder as run_folder
from reid_jax.runs.embeddings import Embedded, EmbeddedDataset, embed_tracklets
from reid_jax.scoring import color_histogram, corruptions, metrics

METHODS = ("trained", "untrained", "color_histogram")
SPLITS = ("query", "gallery", "train")


def eval_folder(config, workdir: pathlib.Path) -> pathlib.Path:
    """Where the results on a dataset go."""
    return pathlib.Path(workdir) / "eval" / config.data.name.replace("/", "-")


def wanted_step(config, workdir: pathlib.Path) -> int:
    """The checkpoint that `config.eval.checkpoint` names."""
    saved = checkpoints.Checkpoints(workdir)
    which = {"latest": saved.latest_step, "best": saved.best_step}
    step = which[config.eval.checkpoint]()
    if step is None:
        raise run_folder.WorkdirError(
            f"{workdir} holds no {config.eval.checkpoint} checkpoint yet; train first."
        )
    return step


def stored_or_made(
    config, workdir: pathlib.Path, step: int, dataset
) -> EmbeddedDataset:
    """What `config.eval` asks for, as stored beside the run, or made and stored now."""
    made_from = source(config, dataset, step)
    stored = _load(eval_folder(config, workdir), made_from)
    known = {} if stored is None else dict(stored.methods)
    asked = METHODS if config.eval.baselines else METHODS[:1]
    splits = SPLITS if metrics.are_learnt(config) else SPLITS[:2]
    missing = [
        (method, [name for name in splits if name not in known.get(method, {})])
        for method in asked
    ]
    for method, names in missing:
        if names:
            embed = _embedder(method, config, workdir, step)
            made = {name: embed(dataset, name) for name in names}
            known[method] = {**known.get(method, {}), **made}
    if any(names for _, names in missing):
        everything = EmbeddedDataset(known, made_from, dataset.protocols)
        save(everything, config, workdir)
    wanted = {method: known[method] for method in asked}
    return EmbeddedDataset(wanted, made_from, dataset.protocols)


def embed_trained(
    embed_step, state: steps.TrainState, dataset, config, mesh
) -> EmbeddedDataset:
    """Queries and gallery of `dataset` as the network in `state` sees them."""
    embed = network_embedder(embed_step, state, config, mesh)
    splits = {name: embed(dataset, name) for name in SPLITS[:2]}
    made_from = source(config, dataset, int(state.step))
    return EmbeddedDataset({"trained": splits}, made_from, dataset.protocols)


def save(embedded: EmbeddedDataset, config, workdir: pathlib.Path) -> None:
    """Keep the embeddings for scoring again."""
    embedded.save(eval_folder(config, workdir) / "embeddings.npz")


def network(config, workdir: pathlib.Path, *, trained: bool = True):
    """The run's network: clips uint8 [B, T, H, W, 3] → embeddings [B, D]."""
    embed_step, state = restore(config, workdir, wanted_step(config, workdir))
    if not trained:
        state = _untrained(config, workdir)
    return lambda clips: embed_step(state.params, state.batch_stats, clips).embedding


def restore(config, workdir: pathlib.Path, step: int):
    """The embedding step, and the state of `step` on every device of this process."""
    mesh = parallel.local_mesh()
    parallel.check_divisible(config.eval.batch_clips, mesh, "config.eval.batch_clips")
    graphdef, state = pretrained.restore_run(config, workdir, step)
    return steps.make_embed_step(graphdef, config), parallel.replicate(state, mesh)


def _embedder(method: str, config, workdir: pathlib.Path, step: int):
    """The function (dataset, split's name) → Embedded of one of `METHODS`."""
    if method == "color_histogram":
        one_frame = config.copy_and_resolve_references()
        one_frame.model.clip_length = 1
        return lambda dataset, name: _embedded(
            lambda clips: color_histogram.stripe_histogram(np.asarray(clips)[:, 0]),
            _batches(dataset, name, one_frame),
            getattr(dataset, name),
        )
    embed_step, state = restore(config, workdir, step)
    if method == "untrained":
        state = _untrained(config, workdir)
    return network_embedder(embed_step, state, config, parallel.local_mesh())


def network_embedder(
    embed_step, state: steps.TrainState, config, mesh
) -> Callable[..., Embedded]:
    """The function (dataset, name, change=None) → Embedded of the network in `state`.

    It embeds the split of that name. `change(clips, number, embed_clips)` are the clips
    that it sees in place of the batch of that number; `embed_clips` maps clips to
    embeddings and is always the same.
    """

    def embed_clips(clips):
        clips = parallel.shard(clips, mesh)
        embedding = embed_step(state.params, state.batch_stats, clips).embedding
        return parallel.gather(embedding, mesh)

    def embed(
        dataset, name: str, change: Callable[..., np.ndarray] | None = None
    ) -> Embedded:
        batches = _batches(dataset, name, config, mesh)
        if change is not None:
            batches = (
                batch | {"clips": change(batch["clips"], number, embed_clips)}
                for number, batch in enumerate(batches)
            )
        return _embedded(embed_clips, batches, getattr(dataset, name))

    return embed


def _batches(dataset, name: str, config, mesh=None):
    """Every clip of a split; what a metric is learnt on stays without noise."""
    split = getattr(dataset, name)
    batches = sources.pipeline(config).eval_batches(split, config, mesh)
    if not config.eval.noise or name not in corruptions.SPLITS:
        yield from batches
        return
    num_clips = config.eval.batch_clips
    for number, batch in enumerate(batches):
        keys = corruptions.clip_keys(config.seed, name, number * num_clips, num_clips)
        noisy = corruptions.add_noise(batch["clips"], config.eval.noise, keys)
        yield batch | {"clips": noisy}


def _embedded(embed_clips, batches, split) -> Embedded:
    embeddings = embed_tracklets(embed_clips, batches, len(split))
    return Embedded(embeddings, split.pids, split.camids, split.names)


def _untrained(config, workdir: pathlib.Path) -> steps.TrainState:
    """The run's state before its first step, on every device."""
    pids = run_folder.load_pids(workdir)
    model = build_model(config.model, len(pids), rngs=nnx.Rngs(config.seed))
    if config.init_from:
        pretrained.start(model, config, (run_folder.training_name(config), pids))
    _, state = steps.initial_state(model, steps.build_optimizer(config, lambda s: 0.0))
    return parallel.replicate(state, parallel.local_mesh())


def source(config, dataset, step: int) -> str:
    """What embeddings depend on: they are made again when it differs."""
    made_from = {
        "step": step,
        "model": config.model.to_dict(),
        "max_frames": config.eval.max_frames,
        "dataset": [config.data.name, dataset.fingerprint],
        "pixels": [
            config.data.resize,
            config.data.normalization,
            config.data.mean_cube,
        ],
    }
    if config.eval.noise:
        made_from["noise"] = [config.eval.noise, config.seed]
    return json.dumps(made_from, sort_keys=True)


def _load(folder: pathlib.Path, source: str) -> EmbeddedDataset | None:
    path = folder / "embeddings.npz"
    if not path.exists():
        return None
    try:
        embedded = EmbeddedDataset.load(path)
    except Exception:  # another version's, or damaged: whatever that leads NumPy to
        return None
    sides = [side for splits in embedded.methods.values() for side in splits.values()]
    is_whole = all(
        len(side.embeddings) == len(side.pids) == len(side.camids)
        and np.isfinite(side.embeddings).all()
        for side in sides
    )
    return embedded if is_whole and embedded.source == source else None
