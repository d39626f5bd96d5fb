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


def _without_nan(values: Float[np.ndarray, "C C"]) -> list[list[float | None]]:
    """For JSON, which knows no nan."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in values]
