"""Score a trained run: python evaluate.py --workdir=runs/attn_tconv

The config comes from the workdir; --config.eval.metric=cosine and the like override it.
Writes scores.json, embeddings.npz and pictures to <workdir>/eval/<dataset>/.
"""

import json
import pathlib
import sys

import numpy as np
from absl import flags
from flax import nnx
from ml_collections import config_flags

from configs import base
from reid_jax import (
    checkpoints,
    color_histogram,
    command_line,
    parallel,
    pictures,
    pretrained,
    report,
    scores,
    steps,
)
from reid_jax.embedding import Embedded, EmbeddedDataset, embed_tracklets
from reid_jax.models import build_model


def evaluate(config, workdir: pathlib.Path) -> list[dict]:
    """Score the run in `workdir` on `config.data.name`; print and write the table.

    Embeddings of the same checkpoint are used again: another metric needs no network.
    """
    from reid_jax import input_pipeline

    base.check_config(config)
    step = _wanted_step(config, workdir)
    dataset = input_pipeline.load_dataset(config)
    folder = eval_folder(config, workdir)
    embedded = _load_embeddings(folder, _source(config, dataset, step))
    if embedded is None or (config.eval.baselines and len(embedded.methods) == 1):
        embedded = _embed_all(config, workdir, step, dataset, embedded)
        save_embeddings(embedded, config, workdir)

    rows, curves = [], {}
    methods = embedded.methods
    if not config.eval.baselines:  # they may be there from an earlier call
        methods = {"trained": methods["trained"]}
    for method, (query, gallery) in methods.items():
        for protocol in embedded.protocols:
            ranked, _, result = scores.rank(query, gallery, config, protocol)
            rows.append(scores.row(method, config, protocol, ranked, result))
            name = method if len(embedded.protocols) == 1 else f"{method}, {protocol}"
            curves[name] = result.cmc
    # The headline protocol first.
    rows.sort(key=lambda row: row["protocol"] != headline(config, embedded.protocols))
    summary = {"dataset": config.data.name, "step": step, "rows": rows}
    unfinished = folder / "scores.tmp"
    unfinished.write_text(json.dumps(summary, indent=2) + "\n")
    unfinished.replace(folder / "scores.json")
    print(
        f"\n{config.data.name}, step {step} of {workdir}\n{scores.format_table(rows)}"
    )
    if config.eval.pictures:
        pictures.cmc_curve(folder / "cmc.png", curves)
        _draw_tracklets(config, workdir, step, dataset, embedded)
    print(f"\nwritten to {folder}")
    return rows


def eval_folder(config, workdir: pathlib.Path) -> pathlib.Path:
    """Where the results on a dataset go."""
    return pathlib.Path(workdir) / "eval" / config.data.name.replace("/", "-")


def headline(config, protocols: tuple[str, ...]) -> str:
    """The protocol whose score leads: `config.eval.protocol` or the only one."""
    if len(protocols) == 1:
        return protocols[0]
    if config.eval.protocol not in protocols:
        raise ValueError(
            f"config.eval.protocol={config.eval.protocol!r} is not one of "
            f"{config.data.name}'s: {', '.join(protocols)}."
        )
    return config.eval.protocol


def embed_trained(
    embed_step, state: steps.TrainState, dataset, config, mesh, method: str = "trained"
) -> EmbeddedDataset:
    """Queries and gallery of `dataset` as the network in `state` sees them."""
    from reid_jax import input_pipeline

    def embed_clips(clips):
        clips = parallel.shard(clips, mesh)
        return embed_step(state.params, state.batch_stats, clips).embedding

    sides = []
    for split in (dataset.query, dataset.gallery):
        batches = input_pipeline.eval_batches(split, config)
        embeddings = embed_tracklets(embed_clips, batches, len(split))
        sides.append(Embedded(embeddings, split.pids, split.camids, split.names))
    source = _source(config, dataset, int(state.step))
    return EmbeddedDataset({method: tuple(sides)}, source, dataset.protocols)


def save_embeddings(embedded: EmbeddedDataset, config, workdir: pathlib.Path) -> None:
    """Keep the embeddings for scoring again."""
    embedded.save(eval_folder(config, workdir) / "embeddings.npz")


def trained_network(config, workdir: pathlib.Path):
    """The run's network: clips uint8 [B, T, H, W, 3] → embeddings [B, D]."""
    embed_step, state = _restore(config, workdir, _wanted_step(config, workdir))
    return lambda clips: embed_step(state.params, state.batch_stats, clips).embedding


def _embed_histogram(dataset, config) -> tuple[Embedded, Embedded]:
    """The hand-made baseline: mean colour histogram of a tracklet's frames."""
    from reid_jax import input_pipeline

    one_frame = config.copy_and_resolve_references()
    one_frame.model.clip_length = 1
    sides = []
    for split in (dataset.query, dataset.gallery):
        embeddings = embed_tracklets(
            lambda clips: color_histogram.stripe_histogram(clips[:, 0]),
            input_pipeline.eval_batches(split, one_frame),
            len(split),
        )
        sides.append(Embedded(embeddings, split.pids, split.camids, split.names))
    return tuple(sides)


def _embed_all(
    config, workdir: pathlib.Path, step: int, dataset, known: EmbeddedDataset | None
) -> EmbeddedDataset:
    """The trained network's embeddings and, if asked for, the baselines'."""
    mesh = parallel.data_mesh()
    embed_step, state = _restore(config, workdir, step)
    known = known or embed_trained(embed_step, state, dataset, config, mesh)
    methods = dict(known.methods)
    if config.eval.baselines:
        first = embed_trained(
            embed_step,
            _untrained(config, workdir),
            dataset,
            config,
            mesh,
            method="untrained",
        )
        methods |= first.methods
        methods["color_histogram"] = _embed_histogram(dataset, config)
    return EmbeddedDataset(methods, known.source, known.protocols)


def _restore(config, workdir: pathlib.Path, step: int):
    """The embedding step, and the state of `step` on every device."""
    mesh = parallel.data_mesh()
    parallel.check_divisible(config.eval.batch_clips, mesh, "config.eval.batch_clips")
    graphdef, state = pretrained.restore_run(config, workdir, step)
    return steps.make_embed_step(graphdef, config), parallel.replicate(state, mesh)


def _untrained(config, workdir: pathlib.Path) -> steps.TrainState:
    """The run's state before its first step, on every device."""
    pids = checkpoints.load_pids(workdir)
    model = build_model(config.model, len(pids), rngs=nnx.Rngs(config.seed))
    if config.init_from:
        pretrained.start(model, config, (config.data.name, pids))
    _, state = steps.initial_state(model, steps.build_optimizer(config, lambda s: 0.0))
    return parallel.replicate(state, parallel.data_mesh())


def _draw_tracklets(
    config, workdir: pathlib.Path, step: int, dataset, embedded: EmbeddedDataset
) -> None:
    """The ranked lists and, for attention models, frames with their weights."""
    from reid_jax import input_pipeline

    folder = eval_folder(config, workdir)
    protocol = headline(config, embedded.protocols)
    query, gallery = embedded.methods["trained"]
    ranked, matrix, result = scores.rank(query, gallery, config, protocol)
    both = [(dataset.gallery, g) for g in range(len(dataset.gallery))]
    both += [(dataset.query, q) for q in range(len(dataset.query))]
    rows = report.ranked_rows(
        query,
        ranked,
        matrix,
        result,
        read_query=lambda q: input_pipeline.first_middle_last(dataset.query, q),
        read_gallery=lambda g: input_pipeline.first_middle_last(*both[g]),
    )
    title = f"{config.data.name}, {protocol} protocol, {config.eval.metric} distance"
    pictures.ranked_lists(folder / "ranked_lists.png", rows, title=title)
    drawn, made = folder / "attention.png", folder / "embeddings.npz"
    is_drawn = drawn.exists() and drawn.stat().st_mtime > made.stat().st_mtime
    if config.model.temporal.startswith("attn") and not is_drawn:
        embed_step, state = _restore(config, workdir, step)
        batch = next(input_pipeline.eval_batches(dataset.query, config))
        out = embed_step(state.params, state.batch_stats, batch["clips"])
        clips = report.uneven_attention(batch, np.asarray(out.attention))
        pictures.attention_strips(drawn, clips)


def _wanted_step(config, workdir: pathlib.Path) -> int:
    """The checkpoint that `config.eval.checkpoint` names."""
    saved = checkpoints.Checkpoints(workdir)
    which = {"latest": saved.latest_step, "best": saved.best_step}
    step = which[config.eval.checkpoint]()
    if step is None:
        raise checkpoints.WorkdirError(
            f"{workdir} holds no {config.eval.checkpoint} checkpoint yet; train first."
        )
    return step


def _source(config, dataset, step: int) -> str:
    """What embeddings depend on: they are made again when it differs."""
    made_from = {
        "step": step,
        "model": config.model.to_dict(),
        "dataset": [config.data.name, dataset.fingerprint],
        "pixels": [
            config.data.resize,
            config.data.normalization,
            config.data.mean_cube,
        ],
    }
    return json.dumps(made_from, sort_keys=True)


def _load_embeddings(folder: pathlib.Path, source: str) -> EmbeddedDataset | None:
    path = folder / "embeddings.npz"
    if not path.exists():
        return None
    try:
        embedded = EmbeddedDataset.load(path)
    except (OSError, ValueError, KeyError):  # another version's, or damaged
        return None
    return embedded if embedded.source == source else None


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of the run, as of train.py.")
    config_flags.DEFINE_config_dict(
        "config",
        checkpoints.config_of_arguments(sys.argv[1:]),
        "Fields to override, as --config.x=y; the rest comes from the workdir.",
    )


def main() -> None:
    values = flags.FLAGS
    if values.workdir is None:
        raise ValueError("--workdir=DIR is needed: the folder of a trained run.")
    checkpoints.load_config(values.workdir)  # or why it cannot be
    evaluate(values.config, pathlib.Path(values.workdir))


if __name__ == "__main__":
    command_line.run(main, _define_flags)
