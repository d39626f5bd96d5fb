"""Scores a trained run: python evaluate.py --workdir=runs/attn_tconv

The config comes from the workdir; flags such as --config.eval.metric=cosine override
it. Writes scores.json, embeddings.npz and pictures to <workdir>/eval/<dataset>/.

--report also writes a page for any browser, with all tables and pictures, and a model
card in Markdown.
--study=noise scores the run under increasingly hard conditions, in a table and a plot.
--table=5 --runs=runs prints a table of the papers, with measured values beside it.
"""

import signal

if __name__ == "__main__":  # so that Ctrl-C during the imports below ends quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from reid_jax.cli import flags as cli_flags
from reid_jax.flags import evaluation as evaluation_flags

if __name__ == "__main__":  # --help and mistakes end here, before the slow imports
    cli_flags.parse(evaluation_flags.define)

import pathlib
import shlex
import sys
from collections.abc import Sequence

import numpy as np
from absl import flags
from ml_collections import config_flags

from configs import base
from reid_jax import config_checks, files, peers
from reid_jax.cli import compile_cache, processes
from reid_jax.errors import UserError
from reid_jax.flags import tables as table_flags
from reid_jax.report import card as report_card
from reid_jax.report import curves as curve_pictures
from reid_jax.report import draw
from reid_jax.report import page as report_page
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run
from reid_jax.scoring import (
    calibration,
    embeddings,
    requirements,
    roc,
    scores,
    studies,
    text_tables,
)
from reid_jax.tables import collect
from reid_jax.tables import output as table_output


def evaluate(config, workdir: pathlib.Path, *, with_report: bool = False) -> list[dict]:
    """Scores the run in `workdir` on `config.data.name`; prints and writes the table.

    All processes must call this, and each embeds a share. The first process scores and
    writes.

    Returns:
        The rows of the table in the first process; an empty list in the others.
    """
    config_checks.check_config(config)
    peers.check_same(run_folder.flat(config), "configs")
    with peers.main_process_first():  # only one process renders a missing dataset
        run = Run(workdir, config)
        requirements.check(config, run.source)
    draws = config.eval.pictures or with_report
    if draws and not draw.has_network_pictures(run):
        run.network  # noqa: B018 (restores it before a training that goes on deletes it)
    embeddings.embed_run_together(run, baselines=config.eval.baselines)
    with peers.main_process_first():
        if peers.is_main_process():
            return _score(run, draws, with_report)
    return []


def _score(run: Run, draws: bool, with_report: bool) -> list[dict]:
    protocols = run.source.protocols
    rows, curves, rocs, thresholds, headline = [], {}, {}, {}, None
    for scored in scores.score_run(run):  # embeds, ranks, scores
        rows.append(scored.row())
        headline = headline or scored
        name = scored.name(protocols)
        curves[name], rocs[name] = scored.ranking.cmc, scored.verification
        if calibration.has_thresholds(scored, headline.protocol):
            thresholds[scored.metric.name] = scored.verification
    summary = _write(run, rows, curves, rocs, headline)
    calibration.write(run, headline.protocol, thresholds)
    _show(run, rows, headline)
    if draws:
        draw.draw_run(run, headline, curves, rocs)
    if with_report:
        draw.draw_study(run, studies.load_or_run(run, "noise"))
    written = [*_FILES, *["pictures (.png)"] * draws]
    print(f"\nwritten to {run.folder}: {', '.join(written)}")
    if with_report:
        path = report_page.write(run, headline, summary)
        print(f"report for any browser: {path}")
        print(f"model card: {report_card.write(run, headline, summary)}")
    return rows


_FILES = (
    *("scores.json", "queries.csv", "cmc.csv", "roc.csv"),
    *("calibration.json", "embeddings.npz"),
)
"""Files that an evaluation writes, besides pictures."""


def print_next(workdir: pathlib.Path, given: Sequence[str] = ()) -> None:
    """Prints the command to try next, in the first process.

    Args:
        workdir: folder of the run.
        given: the other arguments that evaluate.py was given.
    """
    if not peers.is_main_process():
        return
    fields = [word for word in given if word.startswith(("--config.", "--of_mixture="))]
    command = shlex.join(["python", "evaluate.py", f"--workdir={workdir}", *fields])
    if not any(word.startswith("--report") for word in given):
        print(f"\nnext, all about the run on one page:\n  {command} --report")
    elif not any("eval.metric" in word or "eval.rerank" in word for word in fields):
        print("\nnext, other distances and re-ranking:")
        print(f"  {command} --config.eval.metric=l2,cosine --config.eval.rerank=True")


def _write(
    run: Run, rows: list[dict], curves: dict, rocs: dict, headline: scores.Scored
) -> dict:
    """Writes `scores.json` and the CSV files; returns the content of `scores.json`."""
    eval_config = run.config.eval
    summary = {"dataset": run.source.name, "step": run.step}
    summary["conditions"] = scores.conditions(eval_config)
    summary["rows"] = rows
    files.write_json(run.folder / "scores.json", summary)
    headline.write_queries(run.folder / "queries.csv")
    scores.write_curves(run.folder / "cmc.csv", curves)
    scores.write_csv(run.folder / "roc.csv", roc.lines(rocs))
    return summary


def _show(run: Run, rows: list[dict], headline: scores.Scored) -> None:
    """Prints the score table, the median rank of the right person and a threshold."""
    eval_config = run.config.eval
    conditions = scores.conditions(eval_config)
    title = f"{run.source.name}, step {run.step} of {run.workdir}"
    print("\n" + ", ".join([title, *conditions]))
    print(text_tables.format_table(rows))
    name = headline.name(run.source.protocols)
    print(
        f"{name}: the right person is at rank "
        f"{np.nanmedian(headline.ranking.first_rank):g} in the median "
        f"({np.nanmedian(headline.chance_ranks()):.1f} in random order)"
    )
    print(f"{name}, same person or not: {roc.sentence(headline.verification)}")


def _draw_together(folders: dict[pathlib.Path, pathlib.Path]) -> None:
    """Draws the first curves of several runs in two pictures, beside the first run."""
    run_names = [workdir.resolve().name for workdir in folders]
    curves, rocs = {}, {}
    for workdir, folder in folders.items():
        name, curve = next(iter(scores.read_curves(folder / "cmc.csv").items()))
        run_name = workdir.resolve().name
        title = f"{run_name if run_names.count(run_name) == 1 else workdir}: {name}"
        curves[title] = curve
        rocs[title] = next(iter(roc.read_curves(folder / "roc.csv").values()))
    first = next(iter(folders.values()))
    curve_pictures.cmc(first / "cmc_of_runs.png", curves)
    print(f"\nCMC curves of all runs: {first / 'cmc_of_runs.png'}")
    if any(rocs.values()):
        curve_pictures.roc(first / "roc_of_runs.png", rocs)
        print(f"ROC curves of all runs: {first / 'roc_of_runs.png'}")


def print_table(number: str, runs: pathlib.Path, **settings) -> None:
    """Prints and writes a table of the papers; the arguments are those of `collect`."""
    result = collect.collect(number, runs, **settings)
    print(f"\n{table_output.as_text(result)}")
    if runs.exists():
        path = table_output.write(result, runs)
        suffixes = (".md", ".csv", ".tex", ".json")
        print(f"\nwritten: {', '.join(f'{path}{suffix}' for suffix in suffixes)}")


def main() -> None:
    compile_cache.enable()
    values = flags.FLAGS
    if values.table is not None:
        others = ("workdir", "report", "study", "levels", "side", "of_mixture")
        settings = table_flags.settings(*others, *processes.NAMES)
        print_table(values.table, pathlib.Path(values.runs), **settings)
        return
    table_flags.refuse_without_table()
    if values.workdir is None:
        raise UserError("--workdir=DIR is needed: the folder of a trained run.")
    if values.study is None and (values.levels or values.side != "both"):
        raise UserError("--levels and --side belong to a --study=NAME.")
    if values.study is not None and values.report:
        raise UserError("--report has its own noise study: leave --study out.")
    if values.study is not None and values.coordinator is not None:
        raise UserError("--study runs in one process: leave --coordinator out.")
    with processes.joined(values.flag_values_dict()):
        _score_all(values)


def _score_all(values: flags.FlagValues) -> None:
    levels = _numbers("levels", values.levels)
    workdirs = [pathlib.Path(text) for text in values.workdir.split(",")]
    if len({workdir.resolve() for workdir in workdirs}) < len(workdirs):
        raise UserError(f"--workdir={values.workdir} names a folder twice.")
    for workdir in workdirs:  # check all before the first is scored
        run_folder.load_config(workdir)
    overrides = config_flags.get_override_values(values["config"])
    all_rows, folders = [], {}
    for workdir in workdirs:
        config = run_folder.load_config(workdir)
        trained_on = config.data.mixture or (config.data.name,)
        with config.unlocked():
            config.update_from_flattened_dict(overrides)
        if values.of_mixture is not None:
            config.data.name = _of_mixture(trained_on, values.of_mixture, workdir)
        _warn_of_known_persons(trained_on, config.data.name)
        if values.study is None:
            all_rows.append(evaluate(config, workdir, with_report=values.report))
            folders[workdir] = run_folder.eval_folder(workdir, config.data.name)
        else:
            config_checks.check_config(config)
            run = Run(workdir, config)
            requirements.check(config, run.source)
            study = studies.run_study(run, values.study, levels, values.side)
            picture = draw.draw_study(run, study)
            print(f"\nwritten: {study.path}, {picture}")
            all_rows.append(study.rows)
    if not peers.is_main_process():
        return
    if len(all_rows) > 1 and values.study is None:
        _draw_together(folders)
    if len(all_rows) > 1:
        print(f"\nmean of {len(all_rows)} runs, and standard deviation (n - 1)")
        print(text_tables.format_means(all_rows))
    print_next(workdirs[0], sys.argv[1:])


def _of_mixture(mixture: Sequence[str], position: int, workdir: pathlib.Path) -> str:
    if position >= len(mixture):
        raise UserError(
            f"--of_mixture={position}: {workdir} was trained on {len(mixture)} "
            f"datasets, counted from 0: {', '.join(mixture)}."
        )
    return mixture[position]


def _warn_of_known_persons(trained_on: Sequence[str], name: str) -> None:
    """Warns if the run was trained on another split of the same data set."""
    for trained in trained_on:
        if base.whole_dataset(trained) == base.whole_dataset(name) and trained != name:
            print(
                f"warning: the run was trained on {trained}: some persons of {name} "
                "were seen in training, and its scores are too good."
            )


def _numbers(flag: str, texts: list[str]) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError:
        raise UserError(f"--{flag}={','.join(texts)} are not numbers.") from None


if __name__ == "__main__":
    cli_flags.run(main)
