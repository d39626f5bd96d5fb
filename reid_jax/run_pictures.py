"""The pictures of a scored run: curves, ranked lists, what its network has learnt."""

import pathlib

import numpy as np
from flax import nnx

from reid_jax import (
    curve_pictures,
    metric_log,
    network_pictures,
    pictures,
    pretrained,
    report,
    run_embeddings,
    scores,
    sources,
    steps,
)


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
    queries = report.evenly(report.valid_queries(scored), report.NUM_QUERIES)
    rows = report.ranked_rows(scored, queries, report.Frames(config, dataset))
    distance = scored.metric.name + ", re-ranked" * scored.metric.rerank
    title = f"{config.data.name}, {scored.protocol} protocol, {distance} distance"
    pictures.ranked_lists(folder / "ranked_lists.png", rows, title=title)
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
        clips = report.uneven_attention(batch, np.asarray(out.attention))
        pictures.attention_strips(folder / "attention.png", clips)
    graphdef, state = pretrained.restore_run(config, workdir, step)
    model = nnx.merge(graphdef, state.params, state.batch_stats)
    clip = batch["clips"][0]
    layers = report.first_layers(model, steps.normalizer(config)(clip[None]))
    network_pictures.responses(folder / "responses.png", clip, layers)
    kernel = np.asarray(model.base.conv1.kernel[...])
    network_pictures.filters(drawn, kernel)
