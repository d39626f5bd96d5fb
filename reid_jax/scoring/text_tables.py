"""Formats score rows as aligned text."""

from collections.abc import Sequence

import numpy as np

from reid_jax.errors import UserError
from reid_jax.scoring.scores import CMC_RANKS


def format_table(rows: Sequence[dict], first_title: str = "method") -> str:
    """Formats score rows as an aligned table, in percent with one decimal.

    The column "95 %" is the bootstrap interval of the mAP over the queries. A line for
    each protocol follows, with the numbers of queries and gallery tracklets.
    """
    titles = [first_title, "metric", "re-rank", "protocol", "mAP", "95 %", "mINP"]
    titles += [f"CMC-{r}" for r in CMC_RANKS]
    cells = [
        [
            *(row["method"], row["metric"], "yes" if row["rerank"] else "no"),
            row["protocol"],
            f"{100 * row['mean_ap']:.1f}",
            "-".join(f"{100 * end:.1f}" for end in row["interval_95"]["mean_ap"]),
            *(f"{100 * v:.1f}" for v in (row["mean_inp"], *row["cmc"].values())),
        ]
        for row in rows
    ]
    table = aligned([titles, *cells], num_left=4)
    return "\n".join([table, *dict.fromkeys(map(_counts, rows))])


def _counts(row: dict) -> str:
    """Says how many tracklets a protocol compares, and how AP is computed."""
    return (
        f"{row['protocol']}: {row['num_valid']:,} of {row['num_queries']:,} queries "
        f"have a match among {row['num_gallery']:,} gallery tracklets; "
        f"{row['ap']} AP"
    )


def level_name(level: float | int | None) -> str:
    """Name of a study's level in a table."""
    return "unchanged" if level is None else f"{level:g}"


def format_means(tables: Sequence[Sequence[dict]]) -> str:
    """Formats the mean ± standard deviation (n - 1) over several runs, in percent.

    `tables` has the rows of each run.

    Raises:
        UserError: the runs have different rows.
    """
    keys = ("method", "metric", "rerank", "protocol", "ap", "level")
    headers = [[tuple(map(row.get, keys)) for row in table] for table in tables]
    if any(header != headers[0] for header in headers):
        raise UserError("The runs' tables have different rows: there is no mean.")
    first_title = "level" if "level" in tables[0][0] else "method"
    titles = [first_title, "metric", "re-rank", "protocol"]
    lines = [[*titles, "mAP", "mINP", *(f"CMC-{r}" for r in CMC_RANKS)]]
    for rows in zip(*tables, strict=True):
        values = np.array(
            [[r["mean_ap"], r["mean_inp"], *r["cmc"].values()] for r in rows]
        )
        means, stds = 100 * values.mean(axis=0), 100 * values.std(axis=0, ddof=1)
        row = rows[0]
        name = level_name(row["level"]) if "level" in row else row["method"]
        is_reranked = "yes" if row["rerank"] else "no"
        pairs = zip(means, stds, strict=True)
        lines.append(
            [name, row["metric"], is_reranked, row["protocol"]]
            + [f"{mean:.1f}±{std:.1f}" for mean, std in pairs]
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
