"""Weights to start from: loaded, and said what of them was loaded."""

import sys

from flax import nnx

from reid_jax.errors import UserError
from reid_jax.models import torch_weights
from reid_jax.runs import weight_sources
from reid_jax.runs.weight_sources import HEADS, OF_PERSONS


def start(model: nnx.Module, config, labels: tuple[str, list[int]]) -> dict:
    """Load `config.init_from` into `model`, in place; say what was loaded and what not.

    Heads that the source does not hold (`HEADS`) keep their initialisation, and so do a
    classifier and centres of another size. `labels` as in `read`. Returns the record
    that the workdir keeps. Raises UserError, nothing loaded, when the rest does not
    fit.
    """
    given = weight_sources.read(config.init_from, labels=labels, model=model)
    names = [torch_weights.canonical_name(key) for key in given.weights]
    wanted = torch_weights.export_torch_weights(model)
    wanted = [torch_weights.canonical_name(key) for key in wanted]
    partial = [
        head
        for head in HEADS
        if head in OF_PERSONS or not (_has(names, head) and _has(wanted, head))
    ]
    try:
        report = torch_weights.load_torch_weights(model, given.weights, partial=partial)
    except torch_weights.WeightsError as error:
        raise UserError(
            f"{given.source} ({given.description}{given.place}) does not fit "
            f"config.model.backbone={config.model.backbone!r} with "
            f"temporal={config.model.temporal!r}; nothing was loaded:\n  "
            + "\n  ".join(error.problems)
        ) from None
    initialised, unused = _modules(report.initialised), _modules(report.unused)
    unused += weight_sources.parts(given.left_out)
    print(
        f"Starting from {given.source} ({given.description}{given.place}): "
        f"{len(report.loaded)} tensors loaded; initialised: "
        f"{', '.join(initialised) or 'nothing'}; not used of it: "
        f"{', '.join(unused) or 'nothing'}."
    )
    normalization, known = config.data.normalization, given.normalizations
    if known and normalization not in known:
        was = "was trained" if given.is_noted else "by its shapes was probably trained"
        print(
            f"Warning: {given.source} {was} on pixels as in "
            f"config.data.normalization={' or '.join(map(repr, known))}, "
            f"this run has {normalization!r}.",
            file=sys.stderr,
        )
    random = [name for name in initialised if name not in OF_PERSONS]
    if random and config.train.max_steps == 0:
        print(
            f"Warning: with config.train.max_steps=0 {', '.join(random)} "
            "stay random, and are scored so.",
            file=sys.stderr,
        )
    return {
        "init_from": given.source,
        "description": given.description,
        "fingerprint": given.fingerprint,
        "normalizations": list(given.normalizations),
        "wrapper": given.wrapper,
        "prefix": given.prefix,
        "loaded": report.loaded,
        "initialised": report.initialised,
        "unused": [*report.unused, *given.left_out],
    }


def _has(names: list[str], module: str) -> bool:
    return any(name.startswith(f"{module}.") for name in names)


def _modules(names: list[str]) -> list[str]:
    """The modules of parameters, in order, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
