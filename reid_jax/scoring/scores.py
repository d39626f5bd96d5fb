"""Ranks the gallery for every query and turns the rankings into score rows."""

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
    match_ranks,
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
    """Returns the gallery that `protocol` ranks.

    - "official" (MARS) appends the queries to it.
    - "no_distractor" makes person 0 junk: those entries stay but are not ranked.
    - Other protocols leave it unchanged.
    """
    if protocol == "no_distractor":
        is_distractor = gallery.pids == DISTRACTOR_PID
        pids = np.where(is_distractor, match_ranks.JUNK_PID, gallery.pids)
        return dataclasses.replace(gallery, pids=pids)
    if protocol != "official":
        return gallery
    joined = (
        np.concatenate([getattr(gallery, field.name), getattr(query, field.name)])
        for field in dataclasses.fields(Embedded)
    )
    return Embedded(*joined)


CENTERED = "without the mean embedding of each camera"
"""How `conditions` describes `config.eval.center_cameras`."""


def conditions(eval_config) -> list[str]:
    """Describes in words how a `config.eval` changes query and gallery."""
    texts = []
    if eval_config.max_frames:
        texts.append(f"the first {eval_config.max_frames} frames of each tracklet")
    if eval_config.noise:
        texts.append(f"with noise of variance {eval_config.noise:g}")
    if eval_config.center_cameras:
        texts.append(CENTERED)
    return texts


def headline(protocol: str, source) -> str:
    """Protocol of the first row: the requested one, or the dataset's only protocol.

    Raises:
        UserError: the dataset has several protocols, and not that one.
    """
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
    """The ranking of every query by one metric, under one protocol."""

    method: str
    metric: Metric
    protocol: str
    ap: str
    query: Embedded
    gallery: Embedded  # as the protocol ranks it
    distances: Float[np.ndarray, "Q G"]
    ranking: ranking.Ranking
    ids: tuple[Ids, Ids] | None = None  # cleaned; only with the protocol "clean"

    @functools.cached_property
    def verification(self) -> verification.Verification:
        """ROC over the pairs of query and gallery, without tracklets of two persons.

        It is computed on first use, because training needs only the ranking.
        """
        labels = self.query.pids, self.gallery.pids
        labels += self.query.camids, self.gallery.camids
        distances = self.distances
        if self.ids is not None:
            is_single, gallery_pids = clean.single_persons(*self.ids)
            distances = distances[is_single]
            labels = labels[0][is_single], gallery_pids, labels[2][is_single], labels[3]
        return verification.evaluate(distances, *labels)

    def row(self) -> dict:
        """One row of `scores.json`; fractions in [0, 1], None where undefined."""
        intervals = summary.bootstrap(self.ranking)
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
                "mean_ap": intervals.mean_ap.tolist(),
                "mean_inp": intervals.mean_inp.tolist(),
                "cmc": {str(r): intervals.cmc[r - 1].tolist() for r in CMC_RANKS},
            },
            "num_queries": len(self.ranking.ap),
            "num_valid": self.ranking.num_valid,
            "num_gallery": int(np.sum(self.gallery.pids != match_ranks.JUNK_PID)),
            "verification": roc.summary(self.verification),
            "camera_pairs": {
                "camids": pairs.camids.tolist(),
                "rank1": _without_nan(pairs.rank1),
                "mean_ap": _without_nan(pairs.mean_ap),
                "num_queries": pairs.num_queries.tolist(),
            },
        }

    def chance_ranks(self) -> Float[np.ndarray, "Q"]:
        """Expected rank of each query's first match in a random order; nan without one.

        It is (n + 1) / (m + 1) with m matches among n entries.
        """
        if self.ids is not None:
            is_ranked = shared_ids.are_kept(*self.ids)
            num_matches = (shared_ids.share(*self.ids) & is_ranked).sum(axis=1)
            num = is_ranked.sum(axis=1)
        else:
            same_person = self.gallery.pids == self.query.pids[:, None]
            same_camera = self.gallery.camids == self.query.camids[:, None]
            is_junk = self.gallery.pids == match_ranks.JUNK_PID
            num_matches = (same_person & ~same_camera).sum(axis=1)
            num = (~is_junk & ~(same_person & same_camera)).sum(axis=1)
        return np.where(num_matches > 0, (num + 1) / (num_matches + 1), np.nan)

    def write_queries(self, path: pathlib.Path) -> None:
        """Writes a CSV file with a line for each query: its labels and its ranks."""
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
        """Method, metric and, if a table has several protocols, protocol, in words."""
        parts = [self.method, self.metric.name] + ["re-ranked"] * self.metric.rerank
        return ", ".join([*parts, self.protocol] if len(protocols) > 1 else parts)


def score_run(run: Run) -> Iterator[Scored]:
    """Yields every score that the run's `config.eval` asks for, in table order.

    The headline protocol comes first, then the dataset's other default protocols; each
    with all methods and metrics. Stored embeddings of the same checkpoint are used
    again, so that another metric needs no network.
    """
    config, source = run.config, run.source
    first_protocol = headline(config.eval.protocol, source)
    embedded = embeddings.embed_run(run, baselines=config.eval.baselines)
    methods = {}
    for method, as_stored in embedded.items():
        splits = embeddings.as_scored(as_stored, config)
        methods[method] = splits, build_metrics(config, splits.get("train"))
    for protocol in dict.fromkeys([first_protocol, *source.protocols]):
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
    """Ranks the gallery of `protocol` for the queries.

    Args:
        method: how the tracklets were embedded, such as "trained".
        splits: embeddings of "query" and "gallery".
        metric: computes the distances.
        protocol: an evaluation protocol of the dataset.
        ap: rule of the average precision, see `ranking.evaluate`.
        clean_labels: the source's; needed by the protocol "clean".
    """
    query = splits["query"]
    gallery = protocol_gallery(query, splits["gallery"], protocol)
    matrix = np.asarray(metric.distances(query.embeddings, gallery.embeddings))
    if protocol == "clean":
        (query, query_ids), (gallery, gallery_ids) = (
            clean.relabel(side, clean_labels) for side in (query, gallery)
        )
        ids = query_ids, gallery_ids
        result = shared_ids.evaluate(matrix, *ids, ap=ap)
        return Scored(method, metric, protocol, ap, query, gallery, matrix, result, ids)
    labels = query.pids, gallery.pids, query.camids, gallery.camids
    result = ranking.evaluate(matrix, *labels, ap=ap)
    return Scored(method, metric, protocol, ap, query, gallery, matrix, result)


def write_curves(path: pathlib.Path, curves: dict[str, np.ndarray]) -> None:
    """Writes CMC curves as a CSV file: a line per rank, a column per curve."""
    lines = [["rank", *curves]]
    for rank, values in enumerate(zip(*curves.values(), strict=True), start=1):
        lines.append([rank, *(round(float(value), 6) for value in values)])
    write_csv(path, lines)


def write_csv(path: pathlib.Path, lines: Iterable[Sequence]) -> None:
    """Writes a CSV file, completely or not at all."""
    with (
        files.write_whole(path) as unfinished,
        unfinished.open("w", newline="", encoding="utf-8") as file,
    ):
        csv.writer(file).writerows(lines)


def read_curves(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads the CMC curves that `write_curves` wrote."""
    with path.open(newline="") as file:
        (_, *names), *lines = csv.reader(file)
    columns = np.array(lines, float).T[1:]
    return dict(zip(names, columns, strict=True))


def _without_nan(values: Float[np.ndarray, "C C"]) -> list[list[float | None]]:
    """Replaces nan, which JSON does not have, by None."""
    return [[None if np.isnan(v) else float(v) for v in row] for row in values]
