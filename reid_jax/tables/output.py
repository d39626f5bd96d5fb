"""Writes a table as text, Markdown, CSV, LaTeX and JSON."""

import pathlib
from collections.abc import Iterator

import numpy as np

from reid_jax import files
from reid_jax.report import curves as curve_pictures
from reid_jax.scoring import roc, scores, text_tables
from reid_jax.tables.collect import Measurement, Result


def lines(result: Result) -> list[list[str]]:
    """The table as cells of text, percent: titles, then up to four lines for each row.

    They hold the paper's numbers, the measured ones, their 95 % intervals, and the
    difference.
    """
    columns = result.table.columns
    titles = ["row", "", *(str(column) for column in columns)]
    cells = []
    for row in result.table.rows:
        label = "quoted" if row.is_quoted else "paper"
        paper = ["-" if v is None else _percent(v) for v in row.paper]
        cells.append([row.name, label, *paper])
        measurement = result.measured.get(row.name)
        if measurement is None:
            continue
        mean, std, ends = (
            100 * measurement.mean,
            100 * measurement.std,
            100 * measurement.intervals,
        )
        deviation = ["" if np.isnan(s) else f"±{s:.1f}" for s in std]
        pairs = zip(mean, deviation, strict=True)
        measured = [f"{m:.1f}{deviation}" for m, deviation in pairs]
        cells.append(["", _measured_label(measurement), *measured])
        if not np.isnan(ends).all():
            cells.append(["", "95 %", *(f"{a:.1f}–{b:.1f}" for a, b in ends)])
        pairs = zip(mean, row.paper, strict=True)
        differences = ["-" if v is None else f"{m - v:+.1f}" for m, v in pairs]
        cells.append(["", "difference", *differences])
    return [titles, *cells]


def _percent(value: float) -> str:
    """A number with as many decimals as the paper prints: one or two."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:.2f}"


def _measured_label(measurement: Measurement) -> str:
    """The label of a measured line, with the number of runs."""
    num = len(measurement.workdirs)
    return "measured" if num == 1 else f"measured, {num} runs"


def heading(result: Result) -> list[str]:
    """Sentences above a table: what it compares, the datasets, the rules, a note."""
    table = result.table
    row_datasets = [row.dataset or table.dataset for row in table.rows if row.config]
    paper_datasets = dict.fromkeys(
        _PAPER_DATASETS[name.partition("/")[0]] for name in row_datasets
    )
    datasets = dict.fromkeys(plan.dataset for plan in result.planned.values())
    protocols = dict.fromkeys(f.protocol for f in result.measured.values() if f)
    sentences = [
        f"{_title(result.number)} of {table.paper}: {table.caption}",
        f"paper: {', '.join(paper_datasets)}; measured: {', '.join(datasets)}; percent",
    ]
    if protocols:
        sentences.append(f"measured by {'; '.join(protocols)}")
    return sentences + ([f"Note: {table.note}."] if table.note else [])


_PAPER_DATASETS = {
    "mars": "MARS",
    "prid2011": "PRID-2011",
    "ilids_vid": "iLIDS-VID",
    "p_destre": "a private aerial set",
}
"""Dataset → the paper's name for what it measured there."""


def _title(number: str) -> str:
    """The printed title of a table or figure: "Table 5", "Figure 5"."""
    is_figure = number.startswith("figure")
    return f"Figure {number.removeprefix('figure')}" if is_figure else f"Table {number}"


def as_text(result: Result) -> str:
    """The table as text, with the commands of missing rows and what was left out."""
    parts = [*heading(result), "", text_tables.aligned(lines(result), num_left=2)]
    if result.commands:
        parts += ["", "Rows without a run; these train them:"]
        parts += [f"  {command}" for command in result.commands]
    if result.notes:
        parts += ["", "Left out:", *(f"  {note}" for note in result.notes)]
    return "\n".join(parts)


def write(result: Result, runs: pathlib.Path) -> pathlib.Path:
    """Writes the table as .md, .csv, .tex and .json into `<runs>/tables`.

    A study of several levels is drawn too (.png).

    Returns:
        The path of these files without a suffix.
    """
    datasets = {plan.dataset.replace("/", "-") for plan in result.planned.values()}
    title = _title(result.number).lower().replace(" ", "")
    path = runs / "tables" / f"{title}-{'-'.join(sorted(datasets))}"
    titles, *cells = lines(result)
    files.write_text(path.with_suffix(".md"), _markdown(result, titles, cells))
    files.write_text(path.with_suffix(".tex"), _latex(result, titles, cells))
    records = list(_records(result))
    values = [list(record.values()) for record in records]
    scores.write_csv(path.with_suffix(".csv"), [list(records[0]), *values])
    content = {
        "table": result.number,
        "heading": heading(result),
        "rows": records,
        "runs": {
            name: {
                str(seed): str(workdir)
                for seed, workdir in measurement.workdirs.items()
            }
            for name, measurement in result.measured.items()
            if measurement
        },
        "verification": {
            name: {
                str(seed): roc.summary(scored.verification)
                for seed, scored in zip(
                    measurement.workdirs, measurement.scored, strict=True
                )
            }
            for name, measurement in result.measured.items()
            if measurement and measurement.scored  # a study stores its rankings itself
        },
        "rows_without_a_run": result.commands,
        "left_out": result.notes,
    }
    files.write_json(path.with_suffix(".json"), content)
    column = result.table.columns[0]
    curves = {
        name: list(measurement.curves.items())
        for name, measurement in result.measured.items()
        if measurement and len(measurement.curves) > 1
    }
    if curves:
        curve_pictures.study(
            path.with_suffix(".png"), {column.score: curves}, column.study or ""
        )
    return path


def _markdown(result: Result, titles: list[str], cells: list[list[str]]) -> str:
    """The table as Markdown."""
    rule = ["---"] * 2 + ["---:"] * (len(titles) - 2)
    table = [f"| {' | '.join(line)} |" for line in [titles, rule, *cells]]
    return "\n".join(["\n\n".join(heading(result)), "", *table]) + "\n"


_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "–": "--",
        "-": "$-$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    | {special: f"\\{special}" for special in "%&_#${}"}
)


def _latex(result: Result, titles: list[str], cells: list[list[str]]) -> str:
    """The table as a LaTeX tabular."""

    def line(names: list[str], numbers: list[str]) -> str:
        words = [name.replace("-", "\0").translate(_LATEX) for name in names]
        texts = [word.replace("\0", "-") for word in words]  # a hyphen, not a minus
        texts += [number.translate(_LATEX) for number in numbers]
        return f"  {' & '.join(texts)} \\\\"

    comments = [f"% {text}" for text in heading(result)]
    begin = f"\\begin{{tabular}}{{ll{'r' * (len(titles) - 2)}}}"
    rows = [line(titles, []), "  \\hline", *(line(c[:2], c[2:]) for c in cells)]
    return "\n".join([*comments, begin, *rows, "\\end{tabular}"]) + "\n"


def _records(result: Result) -> Iterator[dict]:
    """A record of each row and column; values in percent, None where there is none."""

    def percent(value: float) -> float | None:
        return None if np.isnan(value) else round(100 * float(value), 3)

    for row in result.table.rows:
        measurement = result.measured.get(row.name)
        plan = result.planned.get(row.name)
        for i, column in enumerate(result.table.columns):
            paper = row.paper[i]
            record = {
                "row": row.name,
                "score": str(column),
                "quoted": row.is_quoted,
                "paper": paper,
                "measured": None,
                "std": None,
                "low_95": None,
                "high_95": None,
                "difference": None,
                "seeds": "",
                "protocol": None,
                "paper_dataset": row.dataset or result.table.dataset,
                "dataset": plan.dataset if plan else None,
                "config": plan.config_file if plan else None,
            }
            if measurement is not None:
                measured = percent(measurement.mean[i])
                record |= {
                    "measured": measured,
                    "std": percent(measurement.std[i]),
                    "low_95": percent(measurement.intervals[i, 0]),
                    "high_95": percent(measurement.intervals[i, 1]),
                    "difference": None if paper is None else round(measured - paper, 3),
                    "seeds": " ".join(map(str, measurement.workdirs)),
                    "protocol": measurement.protocol,
                }
            yield record
