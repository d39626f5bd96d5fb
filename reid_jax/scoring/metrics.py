"""Distances between embeddings by name: fixed ones, learnt ones, and re-ranked ones."""

import contextlib
import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from reid_jax.errors import UserError
from reid_jax.retrieval import (
    distances,
    kissme,
    pairs,
    places,
    query_expansion,
    rerank,
    xqda,
)
from reid_jax.runs.embeddings import Embedded

LEARNT = ("xqda", "kissme")
NAMES = (*distances.METRICS, *LEARNT)
"""What `config.eval.metric` may name, one or several ("l2,xqda")."""

EXPANSIONS = ("qe", "qe+dba")
"""What may follow a name: "l2+qe" expands the queries first, "l2+qe+dba" the gallery
and then the queries. Thresholds of such distances fit no other gallery."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A way to rank: distances [Q, G] of query and gallery embeddings."""

    name: str
    rerank: bool
    distances: Callable[..., Float[np.ndarray, "Q G"]]


def names(listed: str) -> tuple[str, ...]:
    """The metrics that a text like "l2,xqda" lists, each once."""
    listed = dict.fromkeys(name.strip() for name in listed.split(","))
    return tuple(name for name in listed if name)


def are_learnt(listed: str) -> bool:
    """Whether one of the listed metrics is learnt on the training split."""
    return any(_parts(name)[0] in LEARNT for name in names(listed))


def is_expanded(name: str) -> bool:
    """Whether embeddings are expanded by their neighbours before they are compared."""
    return bool(_parts(name)[1])


def _parts(name: str) -> tuple[str, str]:
    """ "l2+qe+dba" → "l2", "qe+dba"."""
    plain, _, expansion = name.partition("+")
    return plain, expansion


def build_metrics(config, train: Embedded | None) -> list[Metric]:
    """The metrics of `config.eval`, in its order, each followed by its re-ranking.

    `train` are the embeddings that XQDA and KISSME are learnt on; not needed otherwise.
    """
    built = []
    for name in names(config.eval.metric):
        of_pairs, expansion = _parts(name)
        is_learnt = of_pairs in LEARNT
        try:
            plain = _learn(of_pairs, config, train) if is_learnt else _fixed(of_pairs)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise UserError(
                f"config.eval.metric={name!r} cannot be learnt on the training split "
                f"of {config.data.name}: {error}"
            ) from None
        ways = {False: plain}
        if config.eval.rerank:
            ways[True] = _reranked(of_pairs, plain, config)
        for is_reranked, compare in ways.items():
            expanded = _after_expansion(compare, plain, expansion, config)
            built.append(Metric(name, is_reranked, expanded))
    return built


def training_metric(listed: str) -> Metric:
    """The first listed metric that is not learnt, for the scores during training."""
    plain = (_parts(name)[0] for name in names(listed))
    fixed = (name for name in plain if name not in LEARNT)
    return Metric(name := next(fixed, "l2"), False, distances.METRICS[name])


def problems(listed: str) -> list[str]:
    """What is wrong with `config.eval.metric`, a text for each problem."""
    known = {n + e for n in NAMES for e in ("", *("+" + e for e in EXPANSIONS))}
    if names(listed) and known.issuperset(names(listed)):
        return []
    return [
        f"config.eval.metric={listed!r}; known, one or several with commas: "
        f"{', '.join(NAMES)}, each also with {' or '.join('+' + e for e in EXPANSIONS)}"
    ]


def _after_expansion(compare: Callable, plain: Callable, expansion: str, config):
    """`compare` (query, gallery) after both were expanded; itself without expansion."""
    if not expansion:
        return compare
    settings = {"k": config.eval.expansion_k, "alpha": config.eval.expansion_alpha}

    def expanded(query, gallery):
        return compare(*_expanded(query, gallery, plain, expansion, settings))

    return expanded


def _expanded(query, gallery, plain, expansion: str, settings: dict):
    """Query and gallery embeddings after their expansion."""
    if "dba" in expansion:
        gallery = query_expansion.expand(
            gallery, gallery, plain, **settings, is_gallery=True
        )
    return query_expansion.expand(query, gallery, plain, **settings), gallery


def _fixed(name: str) -> Callable:
    return lambda query, gallery: np.asarray(distances.METRICS[name](query, gallery))


def _reranked(name: str, plain: Callable, config) -> Callable:
    settings = {
        "k1": config.eval.rerank_k1,
        "k2": config.eval.rerank_k2,
        "lambda_value": config.eval.rerank_lambda,
    }

    def of_embeddings(query, gallery):
        if name == "cosine":  # of unit vectors, the squared L2 is twice the cosine's
            query, gallery = distances.unit(query), distances.unit(gallery)
        with _named("config.eval.rerank"):
            return rerank.k_reciprocal(query, gallery, **settings)

    def of_distances(query, gallery):
        everybody = np.concatenate([query, gallery])
        matrix = plain(everybody, everybody)
        with _named("config.eval.rerank"):
            num = len(query)
            return rerank.k_reciprocal_of_distances(matrix, num, **settings)

    return of_distances if name in LEARNT else of_embeddings


@contextlib.contextmanager
def _named(field: str):
    """Says which field of the config an error is about."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{field}: {error}") from None


def _learn(name: str, config, train: Embedded) -> Callable:
    """XQDA or KISSME of the training tracklets; junk is left out.

    With two cameras XQDA takes one against the other, else, as MARS's own script, half
    of each person's tracklets against the other half.
    """
    known = train.pids != places.JUNK_PID
    rows, pids, camids = train.embeddings[known], train.pids[known], train.camids[known]
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
    most = len(rows) - len(np.unique(pids))
    dim = max(1, min(config.eval.kissme_dim, rows.shape[1], most))
    learnt = kissme.fit(rows, first, second, is_same, dim=dim)
    return lambda query, gallery: kissme.distances(learnt, query, gallery)
