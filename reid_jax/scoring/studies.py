"""Studies of a trained run: the same ranking under ever harder conditions.

`frames` limits the frames of every tracklet; the others are `corruptions.CORRUPTIONS`.
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
from reid_jax.scoring import corruptions, embeddings, metrics, scores, text_tables

Level = corruptions.Level
FRAMES = "frames"
NAMES = (FRAMES, *corruptions.CORRUPTIONS)
SIDES = {"both": noise.SPLITS, "query": ("query",), "gallery": ("gallery",)}
_FRAME_LEVELS = (1, 8, 16, 32)  # Kansal & Subramanyam 2018, Table III


@dataclasses.dataclass(frozen=True)
class Study:
    """The scores of a run at each level of a study.

    `rows` are those of `scores.json` with their `level`, None for the run as it is.
    """

    name: str
    side: str
    path: pathlib.Path  # of its .json
    rows: list[dict]

    @property
    def unit(self) -> str:
        """What its levels are."""
        return _unit(self.name)

    def curves(self) -> dict[str, dict[str, list[tuple[str, float]]]]:
        """Level → fraction, for each score and each metric."""
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
    """Scores the run as it is and at each level; prints the table and writes it.

    `levels` are the study's usual ones when empty. `side` says which tracklets change:
    those of the queries, the gallery's, or both. A learnt metric is learnt on training
    tracklets as they are. The noise of the run's own config is left out.
    Writes `study_<name>[_<side>].json` in the run's evaluation folder.
    Raises UserError for an unknown name or side and for levels that cannot be.
    """
    levels = check_study(name, levels, side)
    run = _plain(run)
    source, config = run.source, run.config
    splits_as_it_is = embeddings.embed_run(run)["trained"]
    as_scored = embeddings.as_scored(splits_as_it_is, config)
    learnt = metrics.build_metrics(config, as_scored.get("train"))
    protocol = scores.headline(config.eval.protocol, source)
    print(f"\n{source.name}, step {run.step} of {run.workdir}: {_unit(name)}, {side}")
    _print_filled(run, SIDES[side], levels if name == FRAMES else ())
    rows = []
    for level in (None, *levels):
        splits = dict(splits_as_it_is)
        if level is not None:
            for split in SIDES[side]:
                batches = _changed_batches(run, name, level, split)
                splits[split] = run.network.embed_split(source, split, batches)
        splits = embeddings.as_scored(splits, config)
        for metric in learnt:
            rules = protocol, config.eval.ap, source.clean_labels
            scored = scores.score("trained", splits, metric, *rules)
            rows.append({"level": level} | scored.row())
    study = Study(name, side, _path(run, name, side), rows)
    print(_table(study))
    summary = {"dataset": source.name, "step": run.step, "study": name, "side": side}
    summary["made_from"] = _made_from(run)
    files.write_json(study.path, summary | {"rows": rows})
    return study


def stored_or_run(run: Run, name: str, levels: Sequence[Level] = ()) -> Study:
    """The study with both sides changed, as stored, or run again where it is not.

    Levels that were stored beside the wanted ones are kept.
    """
    wanted, run = check_study(name, levels, "both"), _plain(run)
    path = _path(run, name, "both")
    try:
        stored = json.loads(path.read_text())
        rows = stored["rows"] if stored["made_from"] == _made_from(run) else []
        levels = {row["level"] for row in rows} - {None}
    except (OSError, ValueError, LookupError, TypeError):  # none, or another version's
        rows, levels = [], set()
    if not levels.issuperset(wanted):
        return run_study(run, name, sorted(levels.union(wanted)))
    return Study(name, "both", path, rows)


def _plain(run: Run) -> Run:
    """The run without the noise of its config: the study's levels take its place."""
    if not run.config.eval.noise:
        return run
    config = run.config.copy_and_resolve_references()
    config.eval.noise = 0.0
    return Run(run.workdir, config)


def _changed_batches(run: Run, name: str, level: Level, split: str) -> Iterator[dict]:
    """The evaluation batches of a split at a level of the study."""
    if name == FRAMES:
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
"""Fields of `config.eval` (or their beginnings) that a score depends on."""


def _made_from(run: Run) -> dict:
    """What a study's rows depend on, but for its levels."""
    scoring = {k: v for k, v in run.config.eval.items() if k.startswith(_SCORING)}
    return {"embeddings": run.cache_key, "seed": run.config.seed, "scoring": scoring}


def check_study(name: str, levels: Sequence[Level], side: str) -> tuple[Level, ...]:
    """The levels to take; raises UserError for what cannot be."""
    if name not in NAMES:
        raise UserError(f"--study={name} is unknown; known: {', '.join(NAMES)}.")
    if side not in SIDES:
        raise UserError(f"--side={side} is unknown; known: {', '.join(SIDES)}.")
    if name == FRAMES:
        limits, usual, whole = (1, 2**31 - 1), _FRAME_LEVELS, True
    else:
        corruption = corruptions.CORRUPTIONS[name]
        limits, usual, whole = corruption.limits, corruption.levels, corruption.whole
    levels = tuple(dict.fromkeys(levels)) or usual
    for level in levels:
        low, high = limits
        if not low <= level <= high or (whole and level != round(level)):
            kind = "a whole number" if whole else "a number"
            raise UserError(
                f"--levels: {level:g} is no {_unit(name)}: {kind} from {low:g} to "
                f"{high:g}."
            )
    return tuple(round(level) if whole else level for level in levels)


def _unit(name: str) -> str:
    if name == FRAMES:
        return "frames of a tracklet"
    return corruptions.CORRUPTIONS[name].unit


def _print_filled(run: Run, splits: Sequence[str], levels: Sequence[Level]) -> None:
    """Prints which tracklets are shorter than a level, or than a clip."""
    T = run.config.model.clip_length
    num_frames = np.concatenate([run.source.split(s).num_frames for s in splits])
    for level in levels:
        if fewer := int(np.sum(num_frames < level)):
            print(
                f"{fewer} of {len(num_frames)} tracklets have fewer than {level} "
                "frames and are taken whole"
            )
    for limit in (run.config.eval.max_frames or np.inf, *levels):
        short = np.sum(np.minimum(num_frames, limit) < T)
        if short:
            frames = "all" if limit == np.inf else f"{limit}"
            print(
                f"with {frames} frames, {short} of {len(num_frames)} tracklets are "
                f"shorter than the network's {T} and are filled cyclically"
            )


def _table(study: Study) -> str:
    shown = [
        row | {"method": text_tables.level_name(row["level"])} for row in study.rows
    ]
    return text_tables.format_table(shown, first_title=study.unit)
