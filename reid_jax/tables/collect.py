"""The papers' tables: what the runs of their rows measured."""

import dataclasses
import itertools
import pathlib
from collections.abc import Sequence

import numpy as np

from configs.tables import Column, Table
from reid_jax.retrieval import ranking, summary
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import metrics, scores, studies, text_tables
from reid_jax.tables import plans as table_plans
from reid_jax.tables import runs as table_runs
from reid_jax.tables.plans import Plan


@dataclasses.dataclass(frozen=True)
class Measured:
    """What the runs of a row came to, per column: fractions, nan where there is none.

    `workdirs` by seed, `values` [runs, columns], `intervals` [columns, 2] over the
    queries. `scored` are the runs' rankings, and `curves` the scores at each level of a
    study: one of them is empty. `protocol` names the rules.
    """

    workdirs: dict[int, pathlib.Path]
    values: np.ndarray
    intervals: np.ndarray
    protocol: str
    scored: list[scores.Scored] = dataclasses.field(default_factory=list)
    curves: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the runs (n - 1); nan for a single one."""
        if len(self.values) < 2:
            return np.full(self.values.shape[1], np.nan)
        return self.values.std(axis=0, ddof=1)


@dataclasses.dataclass(frozen=True)
class Result:
    """A table with what was measured for each of its rows, None where nothing was.

    `commands` train the rows without a run, `notes` say what was left out, and why.
    """

    number: str
    table: Table
    planned: dict[str, Plan]
    measured: dict[str, Measured | None]
    commands: list[str]
    notes: list[str]


def collect(number: str, folder: pathlib.Path, **settings) -> Result:
    """Find the runs of every row below a folder and score them.

    `settings` are those of `tables.plans.plans`.
    """
    table, runs = table_plans.known(number), table_runs.read(folder)
    planned = {p.row.name: p for p in table_plans.plans(number, **settings)}
    measured, notes = {}, list(runs.left_out)
    for name, plan in planned.items():
        notes += [f"{w}: another run has its seed." for w in runs.doubled(plan)]
        measured[name] = measure(plan, table.columns, runs.of(plan))
    for row in table.rows:
        if row.mean_of:
            parts = [measured.get(name) for name in row.mean_of]
            measured[row.name] = _mean(parts) if all(parts) else None
        elif row.config and row.name not in planned:
            notes.append(f"{row.name}: published weights as they are, not in a preset.")
    wanted = table_runs.lacking(planned.values(), runs, 1)
    commands = [w.command for w in wanted if measured[w.plan.row.name] is None]
    notes = list(dict.fromkeys(notes))
    return Result(number, table, planned, measured, commands, notes)


def measure(
    plan: Plan, columns: Sequence[Column], workdirs: dict[int, pathlib.Path]
) -> Measured | None:
    """Score the runs; None without any. Their embeddings are made where needed."""
    if not workdirs:
        return None
    runs = [
        Run(workdir, plan.of_scores(run_folder.load_config(workdir)))
        for workdir in workdirs.values()
    ]
    if columns[0].study:
        return _of_study(runs, columns, workdirs)
    scored = [_headline_score(run) for run in runs]
    values = [
        [_score(one.ranking, column.score) for column in columns] for one in scored
    ]
    sure = summary.bootstrap([one.ranking for one in scored])
    intervals = np.array([_interval(sure, column.score) for column in columns])
    first, asked = scored[0], runs[0].config.eval
    distance = first.metric.name + ", re-ranked" * first.metric.rerank
    rules = [f"{first.protocol} protocol", f"{first.ap} AP", f"{distance} distance"]
    rules += scores.conditions(asked)
    return Measured(
        workdirs, np.array(values, float), intervals, ", ".join(rules), scored
    )


def _headline_score(run: Run) -> scores.Scored:
    """The run ranked by the last metric of `config.eval`, under the first protocol."""
    asked = run.config.eval
    num = len(metrics.names(asked.metric)) * (1 + asked.rerank)
    *_, last = itertools.islice(scores.score_run(run), num)
    return last


def _rank(score: str) -> int:
    return int(score.removeprefix("CMC-"))


def _score(result: ranking.Ranking, score: str) -> float:
    return result.mean_ap if score == "mAP" else float(result.cmc[_rank(score) - 1])


def _interval(sure: summary.Intervals, score: str) -> np.ndarray:
    return sure.mean_ap if score == "mAP" else sure.cmc[_rank(score) - 1]


def _of_study(runs, columns, workdirs) -> Measured:
    """Means over the levels of a study; it is run unless it was.

    Intervals are known for one run and one level only.
    """
    levels = [level for column in columns for level in column.levels]
    by_run = []
    for run in runs:
        rows = studies.load_or_run(run, columns[0].study, levels).rows
        # As `_headline_score`: by the last metric.
        kind = (rows[-1]["metric"], rows[-1]["rerank"])
        rows = [row for row in rows if (row["metric"], row["rerank"]) == kind]
        by_run.append({row["level"]: row for row in rows})

    def score(row: dict, column: Column) -> float | list[float]:
        is_map = column.score == "mAP"
        return row["mean_ap"] if is_map else row["cmc"][str(_rank(column.score))]

    values = [
        [np.mean([score(rows[v], column) for v in column.levels]) for column in columns]
        for rows in by_run
    ]
    intervals = np.full((len(columns), 2), np.nan)
    for i, column in enumerate(columns):
        if len(by_run) == len(column.levels) == 1:
            (level,) = column.levels
            intervals[i] = score(by_run[0][level]["interval_95"], column)
    known = [v for v in by_run[0] if all(v in rows for rows in by_run)]
    curve = {
        text_tables.level_name(level): np.mean(
            [score(rows[level], columns[0]) for rows in by_run]
        )
        for level in known
    }
    row = by_run[0][levels[0]]
    distance = row["metric"] + ", re-ranked" * row["rerank"]
    protocol = f"{row['protocol']} protocol, {distance} distance"
    return Measured(
        workdirs, np.array(values, float), intervals, protocol, curves=curve
    )


def _mean(parts: Sequence[Measured]) -> Measured:
    """Over datasets, of the seeds that all of them have runs of."""
    seeds = set.intersection(*(set(part.workdirs) for part in parts))
    values = [
        [part.values[list(part.workdirs).index(seed)] for seed in sorted(seeds)]
        for part in parts
    ]
    workdirs = {seed: parts[0].workdirs[seed] for seed in sorted(seeds)}
    unknown = np.full_like(parts[0].intervals, np.nan)
    return Measured(workdirs, np.mean(values, axis=0), unknown, parts[0].protocol)
