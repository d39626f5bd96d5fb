"""Loads the weights that a run starts from, and reports what was loaded."""

import sys
from collections.abc import Sequence

from flax import nnx

from reid_jax.errors import UserError
from reid_jax.models import torch_weights
from reid_jax.runs import weight_sources
from reid_jax.runs.weight_sources import HEADS, OF_PERSONS


def start(model: nnx.Module, config, labels: tuple[str, list[int]]) -> dict:
    """Loads `config.init_from` into `model`, in place; prints what was loaded.

    Heads (`HEADS`) that the source does not have keep their initialisation, and so do a
    classifier and centres of another size.

    Args:
        model: the network.
        config: the run's config.
        labels: see `weight_sources.read`.

    Returns:
        The record that the workdir stores as `init_from.json`.

    Raises:
        UserError: the other weights do not fit; nothing was loaded.
    """
    pretrained = weight_sources.read(config.init_from, labels=labels, model=model)
    names = [torch_weights.canonical_name(key) for key in pretrained.weights]
    keys_of_model = torch_weights.export_torch_weights(model)
    names_of_model = [torch_weights.canonical_name(key) for key in keys_of_model]
    partial = [
        head
        for head in HEADS
        if head in OF_PERSONS or not (_has(names, head) and _has(names_of_model, head))
    ]
    try:
        report = torch_weights.load_torch_weights(
            model, pretrained.weights, partial=partial
        )
    except torch_weights.WeightsError as error:
        raise UserError(
            f"{pretrained.source} ({pretrained.description}{pretrained.location}) does "
            f"not fit config.model.backbone={config.model.backbone!r} with "
            f"temporal={config.model.temporal!r}; nothing was loaded:\n  "
            + "\n  ".join(_first(error.problems))
        ) from None
    initialised, unused = _modules(report.initialised), _modules(report.unused)
    unused += weight_sources.parts(pretrained.left_out)
    print(
        f"Starting from {pretrained.source} "
        f"({pretrained.description}{pretrained.location}): "
        f"{len(report.loaded)} tensors loaded; initialised: "
        f"{', '.join(initialised) or 'nothing'}; not used: "
        f"{', '.join(unused) or 'nothing'}."
    )
    normalization, possible = config.data.normalization, pretrained.normalizations
    if possible and normalization not in possible:
        verb = "was" if pretrained.is_noted else "was, judging by its shapes,"
        print(
            f"Warning: {pretrained.source} {verb} trained with "
            f"config.data.normalization={' or '.join(map(repr, possible))}; "
            f"this run has {normalization!r}.",
            file=sys.stderr,
        )
    random = [name for name in initialised if name not in OF_PERSONS]
    if random and config.train.max_steps == 0:
        print(
            f"Warning: with config.train.max_steps=0, {', '.join(random)} "
            "stay random and are scored like that.",
            file=sys.stderr,
        )
    return {
        "init_from": pretrained.source,
        "description": pretrained.description,
        "fingerprint": pretrained.fingerprint,
        "normalizations": list(pretrained.normalizations),
        "wrapper": pretrained.wrapper,
        "prefix": pretrained.prefix,
        "loaded": report.loaded,
        "initialised": report.initialised,
        "unused": [*report.unused, *pretrained.left_out],
    }


def _first(problems: Sequence[str]) -> list[str]:
    """Returns the first ten problems, and a line that counts the others."""
    others = len(problems) - 10
    return [*problems] if others < 2 else [*problems[:10], f"and {others} more"]


def _has(names: list[str], module: str) -> bool:
    return any(name.startswith(f"{module}.") for name in names)


def _modules(names: list[str]) -> list[str]:
    """Names of the modules of parameters, in order, without repetitions."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
