"""Draws the pictures of a scored run: curves, ranked lists, what the network learnt."""

import pathlib
from collections.abc import Mapping

import numpy as np

from reid_jax import steps
from reid_jax.report import choices, curves, network, strips
from reid_jax.retrieval.verification import Verification
from reid_jax.runs import log as metric_log
from reid_jax.runs.run import Run
from reid_jax.scoring import roc
from reid_jax.scoring.scores import Scored
from reid_jax.scoring.studies import Study


def draw_run(
    run: Run,
    scored: Scored,
    cmc_curves: dict[str, np.ndarray],
    verified: Mapping[str, Verification],
) -> None:
    """Draws all pictures into the run's evaluation folder.

    Args:
        run: The run.
        scored: The headline score, whose ranked lists are drawn.
        cmc_curves: CMC curve of each row, by its name.
        verified: Same-or-different scores of each row, by its name.
    """
    curves.cmc(run.folder / "cmc.png", cmc_curves)
    rocs = {name: roc.curve(verification) for name, verification in verified.items()}
    (run.folder / "roc.png").unlink(missing_ok=True)
    if any(rocs.values()):  # else there are no pairs of different persons
        curves.roc(run.folder / "roc.png", rocs)
    (run.folder / "training.png").unlink(missing_ok=True)  # perhaps of an earlier run
    if log := metric_log.read(run.workdir):
        curves.training(run.folder / "training.png", log)
    _draw_ranked_lists(run, scored)
    _draw_map(run, scored)
    _draw_network(run)


def has_network_pictures(run: Run) -> bool:
    """Whether the network's pictures exist, from these weights and queries."""
    return strips.made_from(run.folder / "filters.png") == run.cache_key  # written last


def draw_study(run: Run, study: Study) -> pathlib.Path:
    """Draws a study beside its scores; returns the picture's path."""
    title = f"{run.source.name}, {study.side}" + " sides" * (study.side == "both")
    path = study.path.with_suffix(".png")
    curves.study(path, study.curves(), study.unit, title=title)
    return path


def _draw_ranked_lists(run: Run, scored: Scored) -> None:
    """Draws the results of some queries, evenly spaced."""
    queries = choices.evenly_spaced(choices.valid_queries(scored), choices.NUM_QUERIES)
    rows = choices.ranked_rows(scored, queries, choices.Frames(run.source))
    distance = scored.metric.name + ", re-ranked" * scored.metric.rerank
    title = f"{run.source.name}, {scored.protocol} protocol, {distance} distance"
    strips.ranked_lists(run.folder / "ranked_lists.png", rows, title=title)


def _draw_map(run: Run, scored: Scored) -> None:
    """Draws a map of the embeddings of all tracklets of query and gallery."""
    sides = scored.query, scored.gallery
    embeddings, pids, camids = (
        np.concatenate([getattr(side, name) for side in sides])
        for name in ("embeddings", "pids", "camids")
    )
    network.embedding_map(
        run.folder / "embedding_map.png",
        embeddings,
        pids,
        camids,
        method=run.config.eval.map,
        title=f"{run.source.name}, query and gallery",
    )


def _draw_network(run: Run) -> None:
    """Draws filters, responses and, for attention models, the weights of frames.

    Pictures of the same weights and queries are not drawn again.
    """
    if has_network_pictures(run):
        return
    folder, made_from = run.folder, run.cache_key
    batch = next(run.source.eval_batches("query"))
    out = run.embed_step(run.state.params, run.state.batch_stats, batch["clips"])
    batch = {name: np.asarray(values) for name, values in batch.items()}
    (folder / "attention.png").unlink(missing_ok=True)
    if out.attention is not None:
        clips = choices.uneven_attention(batch, np.asarray(out.attention))
        path = folder / "attention.png"
        strips.attention_strips(path, clips, made_from=made_from)
    model, clip = run.model, batch["clips"][0]
    layers = choices.first_layers(model, steps.normalizer(run.config)(clip[None]))
    network.responses(folder / "responses.png", clip, layers, made_from=made_from)
    kernel = np.asarray(model.base.conv1.kernel[...])
    network.filters(folder / "filters.png", kernel, made_from=made_from)
