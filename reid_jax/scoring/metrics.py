"""Builds the distance functions that `config.eval.metric` and `rerank` ask for."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from reid_jax.errors import UserError
from reid_jax.retrieval import (
    distances,
    kissme,
    match_ranks,
    pairs,
    query_expansion,
    rerank,
    xqda,
)
from reid_jax.runs.embeddings import Embedded

LEARNT = ("xqda", "kissme")
NAMES = (*distances.METRICS, *LEARNT)
"""Names that `config.eval.metric` may list, such as "l2,xqda"."""

EXPANSIONS = ("qe", "qe+dba")
"""Suffixes of a name: "l2+qe" expands the queries by their neighbours before distances
are computed, "l2+qe+dba" the gallery and then the queries. Thresholds of such distances
fit no other gallery."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A named function (query [Q, D], gallery [G, D]) → distances [Q, G]."""

    name: str
    rerank: bool
    distances: Callable[..., Float[np.ndarray, "Q G"]]


def names(listed: str) -> tuple[str, ...]:
    """Splits a text like "l2,xqda" into its names, without repetitions."""
    unique = dict.fromkeys(name.strip() for name in listed.split(","))
    return tuple(name for name in unique if name)


def are_learnt(listed: str) -> bool:
    """Whether any of the listed metrics is learnt on the training split."""
    return any(_split_name(name)[0] in LEARNT for name in names(listed))


def is_expanded(name: str) -> bool:
    """Whether embeddings are expanded by their neighbours before they are compared."""
    return bool(_split_name(name)[1])


def _split_name(name: str) -> tuple[str, str]:
    """Splits "l2+qe+dba" into the pairwise metric "l2" and its expansion "qe+dba"."""
    pairwise, _, expansion = name.partition("+")
    return pairwise, expansion


def build_metrics(config, train: Embedded | None) -> list[Metric]:
    """Builds the metrics of `config.eval`, each followed by its re-ranked version.

    `train` are the embeddings on which XQDA and KISSME are learnt; None without those.

    Raises:
        UserError: a metric cannot be learnt on the training split.
    """
    built = []
    for name in names(config.eval.metric):
        pairwise_name, expansion = _split_name(name)
        is_learnt = pairwise_name in LEARNT
        try:
            pairwise = (
                _learn(pairwise_name, config, train)
                if is_learnt
                else _fixed(pairwise_name)
            )
        except (ValueError, np.linalg.LinAlgError) as error:
            raise UserError(
                f"config.eval.metric={name!r} cannot be learnt on the training split "
                f"of {config.data.name}: {error}"
            ) from None
        compare_by_rerank = {False: pairwise}
        if config.eval.rerank:
            compare_by_rerank[True] = _reranked(pairwise_name, pairwise, config)
        for is_reranked, compare in compare_by_rerank.items():
            expanded = _after_expansion(compare, pairwise, expansion, config)
            built.append(Metric(name, is_reranked, expanded))
    return built


def training_metric(listed: str) -> Metric:
    """First listed metric that needs no learning, else l2, for scores during training.

    It is neither expanded nor re-ranked.
    """
    pairwise_names = (_split_name(name)[0] for name in names(listed))
    fixed = (name for name in pairwise_names if name not in LEARNT)
    return Metric(name := next(fixed, "l2"), False, distances.METRICS[name])


def problems(listed: str) -> list[str]:
    """Describes what is wrong with `config.eval.metric`, one text per problem."""
    choices = {n + e for n in NAMES for e in ("", *("+" + e for e in EXPANSIONS))}
    if names(listed) and choices.issuperset(names(listed)):
        return []
    return [
        f"config.eval.metric={listed!r}; known, one or several with commas: "
        f"{', '.join(NAMES)}, each also with {' or '.join('+' + e for e in EXPANSIONS)}"
    ]


def _after_expansion(compare: Callable, pairwise: Callable, expansion: str, config):
    """Wraps `compare` so that embeddings are expanded first; unchanged without "+…"."""
    if not expansion:
        return compare
    settings = {"k": config.eval.expansion_k, "alpha": config.eval.expansion_alpha}

    def expanded(query, gallery):
        return compare(*_expanded(query, gallery, pairwise, expansion, settings))

    return expanded


def _expanded(query, gallery, pairwise, expansion: str, settings: dict):
    """Expands query and gallery embeddings by their neighbours under `pairwise`."""
    if "dba" in expansion:
        gallery = query_expansion.expand(
            gallery, gallery, pairwise, **settings, is_gallery=True
        )
    return query_expansion.expand(query, gallery, pairwise, **settings), gallery


def _fixed(name: str) -> Callable:
    return lambda query, gallery: np.asarray(distances.METRICS[name](query, gallery))


def _reranked(name: str, pairwise: Callable, config) -> Callable:
    settings = {
        "k1": config.eval.rerank_k1,
        "k2": config.eval.rerank_k2,
        "lambda_value": config.eval.rerank_lambda,
    }

    def rerank_embeddings(query, gallery):
        if name == "cosine":  # squared L2 of unit vectors: twice the cosine distance
            query, gallery = distances.unit(query), distances.unit(gallery)
        with _naming_field("config.eval.rerank"):
            return rerank.k_reciprocal(query, gallery, **settings)

    def rerank_distances(query, gallery):
        both_sides = np.concatenate([query, gallery])
        matrix = pairwise(both_sides, both_sides)
        with _naming_field("config.eval.rerank"):
            num = len(query)
            return rerank.k_reciprocal_of_distances(matrix, num, **settings)

    return rerank_distances if name in LEARNT else rerank_embeddings


@contextlib.contextmanager
def _naming_field(field: str):
    """Turns a ValueError of the block into a UserError that names the config field."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{field}: {error}") from None


def _learn(name: str, config, train: Embedded) -> Callable:
    """Learns XQDA or KISSME on the training tracklets, without junk.

    XQDA learns from pairs between two sets: with two cameras one set per camera, else,
    as in MARS's script, the two halves of each person's tracklets.
    """
    is_person = train.pids != match_ranks.JUNK_PID
    rows, pids = train.embeddings[is_person], train.pids[is_person]
    camids = train.camids[is_person]
    cameras = np.unique(camids)
    if len(cameras) < 2:
        raise UserError(f"it has {len(cameras)} cameras; pairs need two.")
    if name == "xqda":
        if len(cameras) == 2:
            first, second = pairs.two_cameras(camids, *cameras.tolist())
        else:
            first, second = pairs.halves(pids, camids, seed=config.seed)
        model = xqda.fit(
            rows[first],
            pids[first],
            rows[second],
            pids[second],
            regularizer=config.eval.xqda_regularizer,
        )
        return lambda query, gallery: xqda.distances(model, query, gallery)
    first, second, is_same = pairs.same_and_different(pids, camids, seed=config.seed)
    # Differences within persons span no more dimensions than this.
    max_dim = len(rows) - len(np.unique(pids))
    dim = max(1, min(config.eval.kissme_dim, rows.shape[1], max_dim))
    model = kissme.fit(rows, first, second, is_same, dim=dim)
    return lambda query, gallery: kissme.distances(model, query, gallery)
