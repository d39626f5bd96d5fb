"""Writes the model card of a scored run, in Markdown: `evaluate.py --report`."""

import importlib.metadata
import pathlib

import numpy as np

from reid_jax import files
from reid_jax.report import choices, html
from reid_jax.retrieval import match_ranks
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import roc, scores

_TEMPLATE = pathlib.Path(__file__).with_name("card.md")


def write(run: Run, scored: scores.Scored, summary: dict) -> pathlib.Path:
    """Writes `model_card.md` beside the run's scores, with their numbers.

    Whoever publishes the weights states the licence.

    Args:
        run: the run.
        scored: the headline score, which is the first row of `summary`.
        summary: the content of `scores.json`.

    Returns:
        The path of the card.
    """
    environment = html.environment(autoescape=False)
    environment.filters["interval"] = lambda ends: "-".join(
        f"{100 * end:.1f}" for end in ends
    )
    card = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    config = run.config
    trained_on = run_folder.training_name(config)
    text = card.render(
        name=run.workdir.resolve().name,
        model=config.model,
        data=config.data,
        dim=scored.query.embeddings.shape[1],
        num_params=run.num_params,
        started_from=config.init_from and pathlib.Path(config.init_from).name,
        fingerprint=run.fingerprint,
        version=importlib.metadata.version("reid-jax"),
        trained_on=trained_on,
        num_train_pids=run.num_persons,
        num_query_pids=len(np.unique(scored.query.pids)),
        num_gallery_pids=len(np.unique(scored.gallery.pids[scored.gallery.pids > 0])),
        num_queries=len(scored.query.pids),
        num_gallery=int(np.sum(scored.gallery.pids != match_ranks.JUNK_PID)),
        is_rendered=all(
            name.startswith("walkers/") for name in trained_on.split(" + ")
        ),
        summary=summary,
        same_or_not=roc.sentence(scored.verification),
        num_wrong=len(choices.worst_failures(scored)),
    )
    path = run.folder / "model_card.md"
    files.write_text(path, text)
    return path
