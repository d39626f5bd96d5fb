"""Writes the page of `evaluate.py --report`: a scored run in one file."""

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np

from configs import base
from reid_jax import files
from reid_jax.report import choices, html, strips
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import roc, scores

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")


@dataclasses.dataclass(frozen=True)
class Group:
    """Ranked lists under one heading."""

    title: str
    note: str
    rows: list[strips.RankedRow]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture from the run's folder, shown at least `min_width_em` em wide."""

    file: str
    title: str
    note: str
    min_width_em: int


_CURVES = (
    Figure("training.png", "Training", "Over the steps of the run.", 50),
    Figure(
        "cmc.png",
        "Cumulative match characteristic",
        "Share of the queries with a right match up to a rank.",
        22,
    ),
    Figure(
        "roc.png",
        "Same person or not",
        "Share of the pairs of one person that a threshold on the distance accepts, by "
        "the share of the pairs of different persons that it accepts (ROC).",
        22,
    ),
    Figure(
        "study_noise.png",
        "White Gaussian noise",
        "Scores when query and gallery are disturbed, by the noise's variance (pixels "
        "from 0 to 1).",
        34,
    ),
)
_NETWORK = (
    Figure(
        "attention.png",
        "Attention",
        "Weights of the frames of a clip, where they differ most.",
        20,
    ),
    Figure(
        "embedding_map.png",
        "Map of the embeddings",
        "All tracklets of query and gallery: near to each other, near in embedding.",
        40,
    ),
    Figure("filters.png", "Filters of the first layer", "", 24),
    Figure(
        "responses.png",
        "Responses of the first two layers",
        "To the first clip of the queries; the most varied channels.",
        30,
    ),
)


def write(run: Run, scored: scores.Scored, summary: dict) -> pathlib.Path:
    """Writes `report.html` beside the run's scores and pictures, which must exist.

    Args:
        run: The run.
        scored: The headline score, first row of `summary`.
        summary: The content of `scores.json`.

    Returns:
        The path of the page.
    """
    folder = run.folder
    environment = html.environment()
    environment.filters["strip"] = _strip
    page = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    text = page.render(
        workdir=run.workdir.resolve().name,
        dataset=summary["dataset"],
        step=summary["step"],
        conditions=summary["conditions"],
        rows=summary["rows"],
        ranks=scores.CMC_RANKS,
        distance=scored.metric.name + ", re-ranked" * scored.metric.rerank,
        protocol=scored.protocol,
        median_rank=np.nanmedian(scored.ranking.first_rank),
        median_chance=np.nanmedian(scored.chance_ranks()),
        same_or_not=roc.sentence(scored.verification),
        groups=_groups(scored, choices.Frames(run.source)),
        curves=[figure for figure in _CURVES if (folder / figure.file).exists()],
        network=[figure for figure in _NETWORK if (folder / figure.file).exists()],
        picture=lambda file: html.data_uri((folder / file).read_bytes(), "png"),
        changed=_changed_fields(run.config),
        fields=run_folder.flat(run.config),
    )
    path = folder / "report.html"
    files.write_text(path, text)
    return path


def _groups(scored: scores.Scored, frames: choices.Frames) -> list[Group]:
    """Groups of ranked lists: right at once, worst failures, similar clothes."""
    successes, failures = (
        choices.correct_at_rank_1(scored),
        choices.worst_failures(scored),
    )
    similar = choices.most_similar_failures(scored, frames)
    of_valid = f"of {scored.ranking.num_valid} queries with a match in the gallery"
    groups = (
        (
            "Found at once",
            f"{len(successes)} {of_valid}; some of them, evenly spaced.",
            choices.evenly_spaced(successes, choices.NUM_QUERIES),
        ),
        (
            "Worst failures",
            f"{len(failures)} {of_valid} have another person first. Shown are "
            "those whose match ranks worst, with that match at the list's end.",
            failures[: choices.NUM_QUERIES],
        ),
        (
            "Same clothes",
            "The first result is another person. Shown are the queries where both have "
            "the most similar colors (histograms of six stripes).",
            similar[: choices.NUM_QUERIES],
        ),
    )
    return [
        Group(title, note, choices.ranked_rows(scored, queries, frames))
        for title, note, queries in groups
    ]


def _changed_fields(config) -> Iterable[tuple[str, object, object]]:
    """(field, default, value) of config fields that differ from `configs/base.py`."""
    defaults, fields = run_folder.flat(base.get_config()), run_folder.flat(config)
    return [(k, defaults.get(k), v) for k, v in fields.items() if defaults.get(k) != v]


def _strip(strip: strips.Strip) -> str:
    """A tracklet's frames side by side, as the data: address of a JPEG."""
    return html.data_uri(html.jpeg(strips.side_by_side(strip.frames)), "jpeg")
