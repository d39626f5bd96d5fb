"""Checks, before any long computation, that a dataset can be scored and trained on."""

from collections import defaultdict

import numpy as np

from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.input.source import Source
from reid_jax.scoring import metrics


def check(config, source: Source) -> None:
    """Raises UserError when `source` cannot be scored as `config.eval` asks.

    A score needs at least one query whose person is in the gallery under another
    camera; a learnt metric needs training tracklets. No frame is decoded.
    """
    query, gallery = source.split("query"), source.split("gallery")
    cameras = defaultdict(set)
    for pid, camid in zip(gallery.pids.tolist(), gallery.camids.tolist(), strict=True):
        cameras[pid].add(camid)
    queries = zip(query.pids.tolist(), query.camids.tolist(), strict=True)
    if not any(pid > 0 and cameras[pid] - {camid} for pid, camid in queries):
        camids = np.union1d(query.camids, gallery.camids).tolist()
        where = f"All tracklets are of camera {camids[0]}: " if len(camids) == 1 else ""
        raise UserError(
            f"{source.name} cannot be scored: none of its {len(query):,} queries has "
            f"its person in the gallery under another camera. {where}give each camera "
            "its own camid, and each person one pid, in the dataset's source; then "
            f"build it again: python -m data.prepare {source.name} --source=DIR "
            "--rebuild"
        )
    if metrics.are_learnt(config.eval.metric) and not len(source.split("train")):
        names = metrics.names(config.eval.metric)
        learnt = ", ".join(name for name in names if metrics.are_learnt(name))
        raise UserError(
            f"config.eval.metric={config.eval.metric!r}: {learnt} cannot be "
            f"learnt, {source.name} has no training split; l2 and cosine need none."
        )


def check_training(config, source: Source) -> None:
    """Raises UserError when a run cannot be trained, or not scored at its end.

    `source` is the one of `config`; the datasets of a mixture are opened and checked
    too.
    """
    mixture = config.data.mixture
    opened = {config.data.name: source}
    for name in mixture:
        if name not in opened:
            mixture_config = config.copy_and_resolve_references()
            mixture_config.data.name = name
            opened[name] = sources.open_source(mixture_config)
    for name, opened_source in opened.items():
        if name in (mixture or opened) and not len(opened_source.split("train")):
            raise UserError(
                f"{name} has no training split: it can be scored, not trained on. "
                "Train on another dataset, then score that run here: evaluate.py "
                f"--workdir=DIR --config.data.name={name}"
            )
        check(config, opened_source)
