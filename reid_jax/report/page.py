"""One page about a scored run that needs no other file: `evaluate.py --report`."""

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
    """Ranked lists under a heading."""

    title: str
    note: str
    rows: list[strips.RankedRow]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture of the run's folder, shown at least `least_width` em wide."""

    file: str
    title: str
    note: str
    least_width: int


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
    """Write `report.html` beside the run's scores and pictures, which are made before.

    `summary` is what `scores.json` holds, `scored` its first row. Returns its path.
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
        changed=_changed(run.config),
        fields=run_folder.flat(run.config),
    )
    path = folder / "report.html"
    files.write_text(path, text)
    return path


def _groups(scored: scores.Scored, frames: choices.Frames) -> list[Group]:
    right, wrong = choices.found_first(scored), choices.found_last(scored)
    alike = choices.same_clothes(scored, frames)
    of = f"of {scored.ranking.num_valid} queries with a match in the gallery"
    chosen = (
        (
            "Found at once",
            f"{len(right)} {of}; some of them, evenly spaced.",
            choices.evenly(right, choices.NUM_QUERIES),
        ),
        (
            "Worst failures",
            f"{len(wrong)} {of} have another person first; those whose right match "
            "comes last. It is shown at the end of its list.",
            wrong[: choices.NUM_QUERIES],
        ),
        (
            "Same clothes",
            "The first result is another person; those of the most similar colors "
            "(histograms of six stripes).",
            alike[: choices.NUM_QUERIES],
        ),
    )
    return [
        Group(title, note, choices.ranked_rows(scored, queries, frames))
        for title, note, queries in chosen
    ]


def _changed(config) -> Iterable[tuple[str, object, object]]:
    """Fields of another value than in `configs/base.py`: name, that value, its own."""
    usual, own = run_folder.flat(base.get_config()), run_folder.flat(config)
    return [(k, usual.get(k), v) for k, v in own.items() if usual.get(k) != v]


def _strip(strip: strips.Strip) -> str:
    """A tracklet's frames side by side, as the address of an image."""
    return html.data_uri(html.jpeg(strips.side_by_side(strip.frames)), "jpeg")
