"""The pictures of a scored run: curves, ranked lists, what its network has learnt."""

import pathlib

import numpy as np
from flax import nnx

from reid_jax import steps
from reid_jax.input import source as sources
from reid_jax.report import choices, strips
from reid_jax.report import curves as curve_pictures
from reid_jax.report import network as network_pictures
from reid_jax.runs import log as metric_log
from reid_jax.runs import pretrained, run_embeddings
from reid_jax.scoring import scores


def draw(
    config,
    workdir: pathlib.Path,
    step: int,
    dataset,
    scored: scores.Scored,
    curves: dict[str, np.ndarray],
) -> None:
    """Draw all of them into the run's evaluation folder."""
    folder = run_embeddings.eval_folder(config, workdir)
    curve_pictures.cmc(folder / "cmc.png", curves)
    if log := metric_log.read(workdir):
        curve_pictures.training(folder / "training.png", log)
    _draw_tracklets(config, dataset, scored, folder)
    _draw_network(config, workdir, step, dataset, folder)


def _draw_tracklets(
    config, dataset, scored: scores.Scored, folder: pathlib.Path
) -> None:
    """The ranked lists, and a map of all tracklets."""
    queries = choices.evenly(choices.valid_queries(scored), choices.NUM_QUERIES)
    rows = choices.ranked_rows(scored, queries, choices.Frames(config, dataset))
    distance = scored.metric.name + ", re-ranked" * scored.metric.rerank
    title = f"{config.data.name}, {scored.protocol} protocol, {distance} distance"
    strips.ranked_lists(folder / "ranked_lists.png", rows, title=title)
    sides = scored.query, scored.gallery
    embeddings, pids, camids = (
        np.concatenate([getattr(side, name) for side in sides])
        for name in ("embeddings", "pids", "camids")
    )
    title = f"{config.data.name}, query and gallery"
    path = folder / "embedding_map.png"
    network_pictures.embedding_map(
        path, embeddings, pids, camids, method=config.eval.map, title=title
    )


def _draw_network(
    config, workdir: pathlib.Path, step: int, dataset, folder: pathlib.Path
) -> None:
    """First filters, first responses and, for attention models, frames' weights."""
    drawn, made = folder / "filters.png", folder / "embeddings.npz"
    if drawn.exists() and drawn.stat().st_mtime > made.stat().st_mtime:
        return
    batch = next(sources.pipeline(config).eval_batches(dataset.query, config))
    batch = {name: np.asarray(values) for name, values in batch.items()}
    if config.model.temporal.startswith("attn"):
        embed_step, state = run_embeddings.restore(config, workdir, step)
        out = embed_step(state.params, state.batch_stats, batch["clips"])
        clips = choices.uneven_attention(batch, np.asarray(out.attention))
        strips.attention_strips(folder / "attention.png", clips)
    graphdef, state = pretrained.restore_run(config, workdir, step)
    model = nnx.merge(graphdef, state.params, state.batch_stats)
    clip = batch["clips"][0]
    layers = choices.first_layers(model, steps.normalizer(config)(clip[None]))
    network_pictures.responses(folder / "responses.png", clip, layers)
    kernel = np.asarray(model.base.conv1.kernel[...])
    network_pictures.filters(drawn, kernel)
