"""Collects a table: scores the runs of its rows, or takes their stored scores."""

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
class Measurement:
    """Scores of the runs of one row, as fractions; nan where there is none.

    Attributes:
        workdirs: Workdir of each run, by seed.
        values: Scores [runs, columns].
        intervals: Ends of the 95 % intervals over the queries [columns, 2].
        protocol: The rules in words: protocol, AP, distance, conditions.
        scored: Ranking of each run; empty for a study.
        curves: Score of the first column at each level of a study; empty without a
            study.
    """

    workdirs: dict[int, pathlib.Path]
    values: np.ndarray
    intervals: np.ndarray
    protocol: str
    scored: list[scores.Scored] = dataclasses.field(default_factory=list)
    curves: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> np.ndarray:
        """Mean over the runs [columns]."""
        return self.values.mean(axis=0)

    @property
    def std(self) -> np.ndarray:
        """Standard deviation over the runs (n - 1) [columns]; nan for a single run."""
        if len(self.values) < 2:
            return np.full(self.values.shape[1], np.nan)
        return self.values.std(axis=0, ddof=1)


@dataclasses.dataclass(frozen=True)
class Result:
    """A table with what was measured for its rows.

    Attributes:
        number: Key of the table in `configs.tables.TABLES`.
        table: The paper's table.
        planned: Plan of each measured row, by the row's name.
        measured: Measurement of each planned row; None where no run was found.
        commands: Command lines that train the rows without a run.
        notes: A sentence for each run and row that was left out.
    """

    number: str
    table: Table
    planned: dict[str, Plan]
    measured: dict[str, Measurement | None]
    commands: list[str]
    notes: list[str]


def collect(number: str, folder: pathlib.Path, **settings) -> Result:
    """Finds the runs of all rows of a table below a folder, and scores them.

    `settings` are the keyword arguments of `tables.plans.plans`.
    """
    table, runs = table_plans.find_table(number), table_runs.read(folder)
    planned = {p.row.name: p for p in table_plans.plans(number, **settings)}
    measured, notes = {}, list(runs.left_out)
    for name, plan in planned.items():
        notes += [f"{w}: another run has its seed." for w in runs.duplicates(plan)]
        measured[name] = measure(plan, table.columns, runs.workdirs(plan))
    for row in table.rows:
        if row.mean_of:
            parts = [measured.get(name) for name in row.mean_of]
            measured[row.name] = _mean_measurement(parts) if all(parts) else None
        elif row.config and row.name not in planned:
            notes.append(f"{row.name}: published weights as they are, not in a preset.")
    missing = table_runs.missing_runs(planned.values(), runs, 1)
    commands = [w.command for w in missing if measured[w.plan.row.name] is None]
    notes = list(dict.fromkeys(notes))
    return Result(number, table, planned, measured, commands, notes)


def measure(
    plan: Plan, columns: Sequence[Column], workdirs: dict[int, pathlib.Path]
) -> Measurement | None:
    """Scores the runs of a row; None if there are none.

    Embeddings that are not stored yet are computed.
    """
    if not workdirs:
        return None
    runs = [
        Run(workdir, plan.scoring_config(run_folder.load_config(workdir)))
        for workdir in workdirs.values()
    ]
    if columns[0].study:
        return _measure_study(runs, columns, workdirs)
    scored = [_headline(run) for run in runs]
    values = [
        [_score(result.ranking, column.score) for column in columns]
        for result in scored
    ]
    intervals_95 = summary.bootstrap([result.ranking for result in scored])
    intervals = np.array(
        [_interval_of(intervals_95, column.score) for column in columns]
    )
    headline, eval_config = scored[0], runs[0].config.eval
    distance = headline.metric.name + ", re-ranked" * headline.metric.rerank
    rules = [
        f"{headline.protocol} protocol",
        f"{headline.ap} AP",
        f"{distance} distance",
    ]
    rules += scores.conditions(eval_config)
    return Measurement(
        workdirs, np.array(values, float), intervals, ", ".join(rules), scored
    )


def _headline(run: Run) -> scores.Scored:
    """The run's score by the last metric of `config.eval`, under the first protocol."""
    eval_config = run.config.eval
    num_rows = len(metrics.names(eval_config.metric)) * (1 + eval_config.rerank)
    *_, headline = itertools.islice(scores.score_run(run), num_rows)
    return headline


def _cmc_rank(score: str) -> int:
    """The rank n of "CMC-n"."""
    return int(score.removeprefix("CMC-"))


def _score(result: ranking.Ranking, score: str) -> float:
    """The score named "mAP" or "CMC-n", a fraction."""
    return result.mean_ap if score == "mAP" else float(result.cmc[_cmc_rank(score) - 1])


def _interval_of(intervals: summary.Intervals, score: str) -> np.ndarray:
    """The 95 % interval of the score named "mAP" or "CMC-n" [2]."""
    return intervals.mean_ap if score == "mAP" else intervals.cmc[_cmc_rank(score) - 1]


def _measure_study(runs, columns, workdirs) -> Measurement:
    """Scores at levels of a study, which is run where it is not stored.

    A column is the mean over its levels. Only a single run at a single level has
    intervals.
    """
    levels = [level for column in columns for level in column.levels]
    rows_by_run = []
    for run in runs:
        rows = studies.load_or_run(run, columns[0].study, levels).rows
        # The last metric, as in `_headline`.
        metric = (rows[-1]["metric"], rows[-1]["rerank"])
        rows = [row for row in rows if (row["metric"], row["rerank"]) == metric]
        rows_by_run.append({row["level"]: row for row in rows})

    def score(row: dict, column: Column) -> float | list[float]:
        is_map = column.score == "mAP"
        return row["mean_ap"] if is_map else row["cmc"][str(_cmc_rank(column.score))]

    values = [
        [np.mean([score(rows[v], column) for v in column.levels]) for column in columns]
        for rows in rows_by_run
    ]
    intervals = np.full((len(columns), 2), np.nan)
    for i, column in enumerate(columns):
        if len(rows_by_run) == len(column.levels) == 1:
            (level,) = column.levels
            intervals[i] = score(rows_by_run[0][level]["interval_95"], column)
    common_levels = [
        v for v in rows_by_run[0] if all(v in rows for rows in rows_by_run)
    ]
    curve = {
        text_tables.level_name(level): np.mean(
            [score(rows[level], columns[0]) for rows in rows_by_run]
        )
        for level in common_levels
    }
    row = rows_by_run[0][levels[0]]
    distance = row["metric"] + ", re-ranked" * row["rerank"]
    protocol = f"{row['protocol']} protocol, {distance} distance"
    return Measurement(
        workdirs, np.array(values, float), intervals, protocol, curves=curve
    )


def _mean_measurement(parts: Sequence[Measurement]) -> Measurement:
    """Mean of rows on several datasets, over the seeds that all of them have."""
    seeds = set.intersection(*(set(part.workdirs) for part in parts))
    values = [
        [part.values[list(part.workdirs).index(seed)] for seed in sorted(seeds)]
        for part in parts
    ]
    workdirs = {seed: parts[0].workdirs[seed] for seed in sorted(seeds)}
    no_intervals = np.full_like(parts[0].intervals, np.nan)
    return Measurement(
        workdirs, np.mean(values, axis=0), no_intervals, parts[0].protocol
    )
