"""What a score needs of a dataset, checked before anything long begins."""

from collections import defaultdict

import numpy as np

from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.input.source import Source
from reid_jax.scoring import metrics


def check(config, source: Source) -> None:
    """Raises a UserError where `source` cannot be scored as `config.eval` asks.

    A score needs a query whose person is in the gallery under another camera, a learnt
    metric needs tracklets to learn on. Nothing is decoded for it.
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
        learnt = [n for n in metrics.names(config.eval.metric) if metrics.are_learnt(n)]
        raise UserError(
            f"config.eval.metric={config.eval.metric!r}: {', '.join(learnt)} cannot be "
            f"learnt, {source.name} has no training split; l2 and cosine need none."
        )


def check_training(config, source: Source) -> None:
    """Raises a UserError where a run could not be trained, or scored at its end.

    `source` is that of `config`; those of its mixture are opened too.
    """
    mixture = config.data.mixture
    opened = {config.data.name: source}
    for name in mixture:
        if name not in opened:
            other = config.copy_and_resolve_references()
            other.data.name = name
            opened[name] = sources.open_source(other)
    for name, each in opened.items():
        if name in (mixture or opened) and not len(each.split("train")):
            raise UserError(
                f"{name} has no training split: it can be scored, not trained on. "
                "Train on another dataset, then score that run here: evaluate.py "
                f"--workdir=DIR --config.data.name={name}"
            )
        check(config, each)
