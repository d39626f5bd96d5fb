"""Embedded queries and gallery in, rows of a score table out."""

import csv
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.retrieval import (
    camera_pairs,
    places,
    ranking,
    shared_ids,
    summary,
    verification,
)
from reid_jax.retrieval.shared_ids import Ids
from reid_jax.runs.embeddings import Embedded
from reid_jax.runs.run import Run
from reid_jax.scoring import clean, embeddings, roc
from reid_jax.scoring.metrics import Metric, build_metrics

CMC_RANKS = (1, 5, 10, 20)
DISTRACTOR_PID = 0


def protocol_gallery(query: Embedded, gallery: Embedded, protocol: str) -> Embedded:
    """The gallery that `protocol` ranks.

    MARS's "official" one includes the queries; in that of "no_distractor" person 0 is
    junk: it stays in its place and is not ranked.
    """
    if protocol == "no_distractor":
        is_distractor = gallery.pids == DISTRACTOR_PID
        pids = np.where(is_distractor, places.JUNK_PID, gallery.pids)
        return dataclasses.replace(gallery, pids=pids)
    if protocol != "official":
        return gallery
    both = (
        np.concatenate([getattr(gallery, field.name), getattr(query, field.name)])
        for field in dataclasses.fields(Embedded)
    )
    return Embedded(*both)


CENTERED = "without the mean embedding of each camera"
"""The condition of `config.eval.center_cameras`."""


def conditions(asked) -> list[str]:
    """What `asked` (a `config.eval`) changes of query and gallery, in words."""
    texts = []
    if asked.max_frames:
        texts.append(f"the first {asked.max_frames} frames of each tracklet")
    if asked.noise:
        texts.append(f"with noise of variance {asked.noise:g}")
    if asked.center_cameras:
        texts.append(CENTERED)
    return texts


def headline(protocol: str, source) -> str:
    """The protocol whose score leads: the wanted one, or the only one of a dataset."""
    protocols = (*source.protocols, *source.more_protocols)
    if len(protocols) == 1:
        return protocols[0]
    if protocol not in protocols:
        raise UserError(
            f"config.eval.protocol={protocol!r} is not one of {source.name}'s: "
            f"{', '.join(protocols)}."
        )
    return protocol


@dataclasses.dataclass(frozen=True)
class Scored:
    """Queries ranked by one metric under one protocol."""

    method: str
    metric: Metric
    protocol: str
    ap: str
    query: Embedded
    gallery: Embedded  # the protocol's
    distances: Float[np.ndarray, "Q G"]
    ranking: ranking.Ranking
    ids: tuple[Ids, Ids] | None = None  # of query and gallery, by the protocol "clean"

    @functools.cached_property
    def verification(self) -> verification.Verification:
        """ROC over the pairs of query and gallery, computed when it is first asked for.

        Training asks for the ranking only. Tracklets that show two persons are left
        out.
        """
        labels = self.query.pids, self.gallery.pids
        labels += self.query.camids, self.gallery.camids
        distances = self.distances
        if self.ids is not None:
            is_sure, gallery_pids = clean.of_one_person(*self.ids)
            distances = distances[is_sure]
            labels = labels[0][is_sure], gallery_pids, labels[2][is_sure], labels[3]
        return verification.evaluate(distances, *labels)

    def row(self) -> dict:
        """One row of `scores.json`; fractions in [0, 1], None where there is none."""
        sure = summary.bootstrap(self.ranking)
        pairs = camera_pairs.camera_pairs(
            self.ranking, self.query.camids, self.gallery.camids, ap=self.ap
        )
        return {
            "method": self.method,
            "metric": self.metric.name,
            "rerank": self.metric.rerank,
            "protocol": self.protocol,
            "ap": self.ap,
            "mean_ap": self.ranking.mean_ap,
            "mean_inp": self.ranking.mean_inp,
            "cmc": {str(r): float(self.ranking.cmc[r - 1]) for r in CMC_RANKS},
            "interval_95": {
                "mean_ap": sure.mean_ap.tolist(),
                "mean_inp": sure.mean_inp.tolist(),
                "cmc": {str(r): sure.cmc[r - 1].tolist() for r in CMC_RANKS},
            },
            "num_queries": len(self.ranking.ap),
            "num_valid": self.ranking.num_valid,
            "num_gallery": int(np.sum(self.gallery.pids != places.JUNK_PID)),
            "verification": roc.summary(self.verification),
            "camera_pairs": {
                "camids": pairs.camids.tolist(),
                "rank1": _without_nan(pairs.rank1),
                "mean_ap": _without_nan(pairs.mean_ap),
                "num_queries": pairs.num_queries.tolist(),
            },
        }

    def chance_ranks(self) -> Float[np.ndarray, "Q"]:
        """Rank of the first right match expected of a random order; nan without one.

        (n + 1) / (m + 1) with m right matches among n entries.
        """
        if self.ids is not None:
            kept = shared_ids.are_kept(*self.ids)
            num_right = (shared_ids.share(*self.ids) & kept).sum(axis=1)
            num = kept.sum(axis=1)
        else:
            own = self.gallery.pids == self.query.pids[:, None]
            same_camera = self.gallery.camids == self.query.camids[:, None]
            is_junk = self.gallery.pids == places.JUNK_PID
            num_right = (own & ~same_camera).sum(axis=1)
            num = (~is_junk & ~(own & same_camera)).sum(axis=1)
        return np.where(num_right > 0, (num + 1) / (num_right + 1), np.nan)

    def write_queries(self, path: pathlib.Path) -> None:
        """A CSV file with a line for each query: what it is and how it was found."""
        columns = {
            "tracklet": self.query.tracklets,
            "pid": self.query.pids,
            "camid": self.query.camids,
            "first_rank": self.ranking.first_rank,
            "chance_rank": self.chance_ranks().round(2),
            "ap": self.ranking.ap.round(6),
            "inp": self.ranking.inp.round(6),
        }
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        write_csv(path, [tuple(columns), *rows])

    def name(self, protocols: Sequence[str]) -> str:
        """What tells it from the others of a table."""
        parts = [self.method, self.metric.name] + ["re-ranked"] * self.metric.rerank
        return ", ".join([*parts, self.protocol] if len(protocols) > 1 else parts)


def score_run(run: Run) -> Iterator[Scored]:
    """Every score that `config.eval` of the run asks for, in the order of the table.

    The headline protocol comes first, then the others that the dataset is always scored
    by; methods and metrics in their order.
    Embeddings of the same checkpoint are used again: another metric needs no network.
    """
    config, source = run.config, run.source
    first = headline(config.eval.protocol, source)
    embedded = embeddings.embed_run(run, baselines=config.eval.baselines)
    methods = {}
    for method, as_stored in embedded.items():
        splits = embeddings.as_scored(as_stored, config)
        methods[method] = splits, build_metrics(config, splits.get("train"))
    for protocol in dict.fromkeys([first, *source.protocols]):
        for method, (splits, metrics) in methods.items():
            for metric in metrics:
                rules = protocol, config.eval.ap, source.clean_labels
                yield score(method, splits, metric, *rules)


def score(
    method: str,
    splits: dict[str, Embedded],
    metric: Metric,
    protocol: str,
    ap: str,
    clean_labels: Mapping[str, Sequence[int]] | None = None,
) -> Scored:
    """Rank the gallery of `protocol` for the queries.

    `clean_labels` are the source's; the protocol "clean" needs them.
    """
    query = splits["query"]
    gallery = protocol_gallery(query, splits["gallery"], protocol)
    matrix = np.asarray(metric.distances(query.embeddings, gallery.embeddings))
    if protocol == "clean":
        (query, *of_query), (gallery, *of_gallery) = (
            clean.relabel(side, clean_labels) for side in (query, gallery)
        )
        ids = *of_query, *of_gallery
        result = shared_ids.evaluate(matrix, *ids, ap=ap)
        return Scored(method, metric, protocol, ap, query, gallery, matrix, result, ids)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    result = ranking.evaluate(matrix, *labels, ap=ap)
    return Scored(method, metric, protocol, ap, query, gallery, matrix, result)


def write_curves(path: pathlib.Path, curves: dict[str, np.ndarray]) -> None:
    """CMC curves as a CSV file: a line for each rank, a column for each curve."""
    lines = [["rank", *curves]]
    for rank, values in enumerate(zip(*curves.values(), strict=True), start=1):
        lines.append([rank, *(round(float(value), 6) for value in values)])
    write_csv(path, lines)


def write_csv(path: pathlib.Path, lines: Iterable[Sequence]) -> None:
    """Writes a CSV file, whole or not at all."""
    with (
        files.write_whole(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(lines)


def read_curves(path: pathlib.Path) -> dict[str, np.ndarray]:
    """What `write_curves` wrote."""
    with path.open(newline="") as file:
        (_, *names), *lines = csv.reader(file)
    columns = np.array(lines, float).T[1:]
    return dict(zip(names, columns, strict=True))


def format_table(rows: Sequence[dict], first_title: str = "method") -> str:
    """The rows as aligned text, percentages with one decimal.

    "95 %" is the bootstrap interval of the mAP over the queries.
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
    """What a table calls a level of a study."""
    return "as it is" if level is None else f"{level:g}"


def format_means(tables: Sequence[Sequence[dict]]) -> str:
    """Means of several runs' rows, and standard deviations (n - 1), as aligned text.

    Raises UserError unless the runs have the same rows.
    """
    keys = ("method", "metric", "rerank", "protocol", "ap")
    levels = "level" in tables[0][0]
    keys += ("level",) * levels
    kinds = [[tuple(row[key] for key in keys) for row in table] for table in tables]
    if any(kind != kinds[0] for kind in kinds):
        raise UserError("The runs' tables have different rows: there is no mean.")
    titles = ["method", "metric", "re-rank", "protocol", "AP"] + ["level"] * levels
    lines = [[*titles, "mAP", "mINP", *(f"CMC-{r}" for r in CMC_RANKS)]]
    for rows in zip(*tables, strict=True):
        values = np.array(
            [[r["mean_ap"], r["mean_inp"], *r["cmc"].values()] for r in rows]
        )
        means, stds = 100 * values.mean(axis=0), 100 * values.std(axis=0, ddof=1)
        kind = [str(rows[0][key]) for key in keys]
        kind[2] = "yes" if rows[0]["rerank"] else "no"
        if levels:
            kind[5] = level_name(rows[0]["level"])
        both = zip(means, stds, strict=True)
        lines.append([*kind, *(f"{mean:.1f} ± {std:.1f}" for mean, std in both)])
    return aligned(lines, num_left=len(titles))


def aligned(lines: list[list[str]], *, num_left: int) -> str:
    """Columns under their titles, the first `num_left` of them flush left."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines = [lines[0], ["-" * width for width in widths], *lines[1:]]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < num_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _without_nan(values: Float[np.ndarray, "C C"]) -> list[list[float | None]]:
    """For JSON, which knows no nan."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in values]
