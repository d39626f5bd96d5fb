"""Formats score rows as aligned text."""

from collections.abc import Sequence

import numpy as np

from reid_jax.errors import UserError
from reid_jax.scoring.scores import CMC_RANKS


def format_table(rows: Sequence[dict], first_title: str = "method") -> str:
    """Formats score rows as an aligned table, in percent with one decimal.

    The column "95 %" is the bootstrap interval of the mAP over the queries.
    """
    titles = [first_title, "metric", "re-rank", "protocol", "AP", "mAP", "95 %", "mINP"]
    titles += [f"CMC-{r}" for r in CMC_RANKS] + ["queries", "valid", "gallery"]
    cells = [
        [
            *(row["method"], row["metric"], "yes" if row["rerank"] else "no"),
            *(row["protocol"], row["ap"]),
            f"{100 * row['mean_ap']:.1f}",
            "-".join(f"{100 * end:.1f}" for end in row["interval_95"]["mean_ap"]),
            *(f"{100 * v:.1f}" for v in (row["mean_inp"], *row["cmc"].values())),
            *(f"{row[key]:,}" for key in ("num_queries", "num_valid", "num_gallery")),
        ]
        for row in rows
    ]
    return aligned([titles, *cells], num_left=5)


def level_name(level: float | int | None) -> str:
    """Name of a study's level in a table."""
    return "as it is" if level is None else f"{level:g}"


def format_means(tables: Sequence[Sequence[dict]]) -> str:
    """Formats the mean ± standard deviation (n - 1) over several runs, in percent.

    `tables` has the rows of each run.

    Raises:
        UserError: the runs have different rows.
    """
    keys = ("method", "metric", "rerank", "protocol", "ap")
    has_levels = "level" in tables[0][0]
    keys += ("level",) * has_levels
    headers = [[tuple(row[key] for key in keys) for row in table] for table in tables]
    if any(header != headers[0] for header in headers):
        raise UserError("The runs' tables have different rows: there is no mean.")
    titles = ["method", "metric", "re-rank", "protocol", "AP"] + ["level"] * has_levels
    lines = [[*titles, "mAP", "mINP", *(f"CMC-{r}" for r in CMC_RANKS)]]
    for rows in zip(*tables, strict=True):
        values = np.array(
            [[r["mean_ap"], r["mean_inp"], *r["cmc"].values()] for r in rows]
        )
        means, stds = 100 * values.mean(axis=0), 100 * values.std(axis=0, ddof=1)
        cells = [str(rows[0][key]) for key in keys]
        cells[2] = "yes" if rows[0]["rerank"] else "no"
        if has_levels:
            cells[5] = level_name(rows[0]["level"])
        mean_std_pairs = zip(means, stds, strict=True)
        lines.append(
            [*cells, *(f"{mean:.1f} ± {std:.1f}" for mean, std in mean_std_pairs)]
        )
    return aligned(lines, num_left=len(titles))


def aligned(lines: list[list[str]], *, num_left: int) -> str:
    """Aligns columns under their titles; the first `num_left` are flush left.

    `lines` has the titles first. Returns the text, with a rule under the titles.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
