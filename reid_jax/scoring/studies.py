"""Robustness studies: scores of a trained run under increasingly hard conditions.

The study "frames" limits the frames of every tracklet; the others are named in
`corruptions.CORRUPTIONS`.
"""

import dataclasses
import json
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.input import noise
from reid_jax.runs.run import Run
from reid_jax.scoring import (
    corruptions,
    embeddings,
    metrics,
    scores,
    study_names,
    text_tables,
)

Level = corruptions.Level
_FRAME_LEVELS = (1, 8, 16, 32)  # Kansal & Subramanyam 2018, Table III


@dataclasses.dataclass(frozen=True)
class Study:
    """The scores of a run at each level of a study.

    `rows` are like those of `scores.json`, with a `level`: None for unchanged clips.
    """

    name: str
    side: str
    path: pathlib.Path  # of the study's JSON file
    rows: list[dict]

    @property
    def unit(self) -> str:
        """The quantity that a level measures, in words."""
        return _unit(self.name)

    def curves(self) -> dict[str, dict[str, list[tuple[str, float]]]]:
        """Pairs (level, fraction in [0, 1]) by score ("mAP", "CMC-1") and metric."""
        curves = {"mAP": {}, "CMC-1": {}}
        for row in self.rows:
            level = text_tables.level_name(row["level"])
            metric = row["metric"] + ", re-ranked" * row["rerank"]
            for score, value in (("mAP", row["mean_ap"]), ("CMC-1", row["cmc"]["1"])):
                curves[score].setdefault(metric, []).append((level, value))
        return curves


def run_study(
    run: Run, name: str, levels: Sequence[Level] = (), side: str = "both"
) -> Study:
    """Scores the run unchanged and at each level; prints and writes the table.

    A learnt metric is learnt on unchanged training tracklets. `config.eval.noise` of
    the run is ignored. The table is written as `study_<name>[_<side>].json` in the
    run's evaluation folder.

    Args:
        run: the run to score.
        name: one of `study_names.NAMES`.
        levels: the levels; empty: the study's default levels.
        side: which tracklets change: those of "query", "gallery" or "both".

    Raises:
        UserError: an unknown name or side, or a level out of range.
    """
    levels = check_study(name, levels, side)
    run = _without_noise(run)
    source, config = run.source, run.config
    clean_splits = embeddings.embed_run(run)["trained"]
    train = embeddings.as_scored(clean_splits, config).get("train")
    built_metrics = metrics.build_metrics(config, train)
    protocol = scores.headline(config.eval.protocol, source)
    changed = "query and gallery" if side == "both" else f"{side} only"
    print(
        f"\n{source.name}, step {run.step} of {run.workdir}: {_unit(name)}, {changed}"
    )
    _print_filled(
        run, study_names.SIDES[side], levels if name == study_names.FRAMES else ()
    )
    rows = []
    for level in (None, *levels):
        splits = dict(clean_splits)
        if level is not None:
            for split in study_names.SIDES[side]:
                batches = _changed_batches(run, name, level, split)
                splits[split] = run.network.embed_split(source, split, batches)
        splits = embeddings.as_scored(splits, config)
        for metric in built_metrics:
            rules = protocol, config.eval.ap, source.clean_labels
            scored = scores.score("trained", splits, metric, *rules)
            rows.append({"level": level} | scored.row())
    study = Study(name, side, _path(run, name, side), rows)
    print(_table(study))
    summary = {"dataset": source.name, "step": run.step, "study": name, "side": side}
    summary["made_from"] = _made_from(run)
    files.write_json(study.path, summary | {"rows": rows})
    return study


def load_or_run(run: Run, name: str, levels: Sequence[Level] = ()) -> Study:
    """Loads the stored study of both sides, or runs it when a level is missing.

    Other levels that were stored are part of the result.
    """
    requested, run = check_study(name, levels, "both"), _without_noise(run)
    path = _path(run, name, "both")
    try:
        stored = json.loads(path.read_text())
        rows = stored["rows"] if stored["made_from"] == _made_from(run) else []
        levels = {row["level"] for row in rows} - {None}
    except (OSError, ValueError, LookupError, TypeError):  # missing or an older format
        rows, levels = [], set()
    if not levels.issuperset(requested):
        return run_study(run, name, sorted(levels.union(requested)))
    return Study(name, "both", path, rows)


def _without_noise(run: Run) -> Run:
    """The run with `config.eval.noise` = 0: only the study's levels disturb it."""
    if not run.config.eval.noise:
        return run
    config = run.config.copy_and_resolve_references()
    config.eval.noise = 0.0
    return Run(run.workdir, config)


def _changed_batches(run: Run, name: str, level: Level, split: str) -> Iterator[dict]:
    """Yields the evaluation batches of a split, changed to a level of the study."""
    if name == study_names.FRAMES:
        limit = min(level, run.config.eval.max_frames or level)
        yield from run.source.eval_batches(split, max_frames=limit)
        return
    apply = corruptions.CORRUPTIONS[name].apply
    first = 0
    for batch in run.source.eval_batches(split):
        num = len(batch["tracklet"])
        keys = noise.clip_keys(run.config.seed, split, first, num)
        yield batch | {"clips": apply(batch["clips"], level, keys, run.network.embed)}
        first += num


def _path(run: Run, name: str, side: str) -> pathlib.Path:
    file = "_".join(["study", name] + [side] * (side != "both")) + ".json"
    return run.folder / file


_SCORING = (
    *("metric", "expansion_", "rerank", "xqda_", "kissme_"),
    *("ap", "protocol", "center_cameras"),
)
"""Fields of `config.eval`, or prefixes of them, that a score depends on."""


def _made_from(run: Run) -> dict:
    """Everything that a study's rows depend on, except the levels."""
    scoring = {k: v for k, v in run.config.eval.items() if k.startswith(_SCORING)}
    return {"embeddings": run.cache_key, "seed": run.config.seed, "scoring": scoring}


def check_study(name: str, levels: Sequence[Level], side: str) -> tuple[Level, ...]:
    """Checks the arguments of a study; returns its levels, the default ones if empty.

    Raises:
        UserError: an unknown name or side, or a level out of range.
    """
    if name not in study_names.NAMES:
        raise UserError(
            f"--study={name} is unknown; known: {', '.join(study_names.NAMES)}."
        )
    if side not in study_names.SIDES:
        raise UserError(
            f"--side={side} is unknown; known: {', '.join(study_names.SIDES)}."
        )
    if name == study_names.FRAMES:
        limits, default_levels, is_integer = (1, 2**31 - 1), _FRAME_LEVELS, True
    else:
        corruption = corruptions.CORRUPTIONS[name]
        limits, default_levels, is_integer = (
            corruption.limits,
            corruption.levels,
            corruption.is_integer,
        )
    levels = tuple(dict.fromkeys(levels)) or default_levels
    for level in levels:
        low, high = limits
        if not low <= level <= high or (is_integer and level != round(level)):
            number = "a whole number" if is_integer else "a number"
            raise UserError(
                f"--levels: {level:g} is no {_unit(name)}: {number} from {low:g} to "
                f"{high:g}."
            )
    return tuple(round(level) if is_integer else level for level in levels)


def _unit(name: str) -> str:
    if name == study_names.FRAMES:
        return "frames of a tracklet"
    return corruptions.CORRUPTIONS[name].unit


def _print_filled(run: Run, splits: Sequence[str], levels: Sequence[Level]) -> None:
    """Prints how many tracklets are shorter than a level, and than a clip."""
    T = run.config.model.clip_length
    num_frames = np.concatenate([run.source.split(s).num_frames for s in splits])
    for level in levels:
        if num_shorter := int(np.sum(num_frames < level)):
            print(
                f"{num_shorter} of {len(num_frames)} tracklets have fewer than {level} "
                "frames and are taken whole"
            )
    for limit in (run.config.eval.max_frames or np.inf, *levels):
        num_filled = np.sum(np.minimum(num_frames, limit) < T)
        if num_filled:
            frames = "all" if limit == np.inf else f"{limit}"
            print(
                f"with {frames} frames, {num_filled} of {len(num_frames)} tracklets "
                f"are shorter than the network's {T} and are filled cyclically"
            )


def _table(study: Study) -> str:
    rows = [
        row | {"method": text_tables.level_name(row["level"])} for row in study.rows
    ]
    return text_tables.format_table(rows, first_title="level")
