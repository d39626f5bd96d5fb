"""Weights to start from: what a file or another run holds, and for which pixels."""

import dataclasses
import hashlib
import pathlib
import sys
from collections.abc import Mapping

import numpy as np
from flax import nnx

from reid_jax.errors import UserError
from reid_jax.input.pixels import NORMALIZATIONS
from reid_jax.models import checkpoint_files, torch_weights
from reid_jax.runs import folder as run_folder
from reid_jax.runs.run import Run

HEADS = (
    "bottleneck",
    "classifier",
    "attention_conv",
    "attention_fc",
    "attention_tconv",
    "lstm",
    "gru",
)
"""Modules that a backbone's checkpoint does not hold, or holds for other classes."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Weights under names as `source` has them, and where they come from.

    `normalizations` are those of `pixels.NORMALIZATIONS` that they were trained with,
    any of them; empty where that is not known.
    """

    source: str
    weights: Mapping[str, np.ndarray]
    description: str
    normalizations: tuple[str, ...]
    fingerprint: str  # SHA-256 of a file, or of the weights of a run
    is_noted: bool = True  # or the normalizations are guessed, from the shapes


def read(source: str, *, labels: tuple[str, list[int]] | None = None) -> Pretrained:
    """What `source`, a checkpoint file or the workdir of a run, holds.

    `labels` (name of the dataset, person of each label) are those of the network to
    come: a run that learnt other persons gives no classifier. Raises UserError for
    what cannot be read.
    """
    path = pathlib.Path(source)
    if path.is_dir():
        return _read_run(path, labels)
    weights = checkpoint_files.read_checkpoint(path)
    description, normalizations = recognise(weights)
    noted = checkpoint_files.read_metadata(path).get("normalization")
    if noted:
        normalizations = tuple(noted.split(","))
        unknown = [name for name in normalizations if name not in NORMALIZATIONS]
        if unknown:
            raise UserError(
                f"{path} notes normalization={unknown[0]!r}; known: "
                f"{', '.join(NORMALIZATIONS)}."
            )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    is_noted = bool(noted)
    return Pretrained(source, weights, description, normalizations, digest, is_noted)


def start(model: nnx.Module, config, labels: tuple[str, list[int]]) -> dict:
    """Load `config.init_from` into `model`, in place; say what was loaded and what not.

    Heads that the source does not hold (`HEADS`) keep their initialisation, and so does
    a classifier of another size. `labels` as in `read`. Returns the record that the
    workdir keeps. Raises UserError, nothing loaded, when the rest does not fit.
    """
    given = read(config.init_from, labels=labels)
    names = [torch_weights.canonical_name(key) for key in given.weights]
    wanted = torch_weights.export_torch_weights(model)
    wanted = [torch_weights.canonical_name(key) for key in wanted]
    partial = [
        head
        for head in HEADS
        if head == "classifier" or not (_has(names, head) and _has(wanted, head))
    ]
    try:
        report = torch_weights.load_torch_weights(model, given.weights, partial=partial)
    except torch_weights.WeightsError as error:
        raise UserError(
            f"{given.source} ({given.description}) does not fit "
            f"config.model.backbone={config.model.backbone!r} with "
            f"temporal={config.model.temporal!r}; nothing was loaded:\n  "
            + "\n  ".join(error.problems)
        ) from None
    initialised, unused = _modules(report.initialised), _modules(report.unused)
    print(
        f"Starting from {given.source} ({given.description}): "
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
    random = [name for name in initialised if name != "classifier"]
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
        "loaded": report.loaded,
        "initialised": report.initialised,
        "unused": report.unused,
    }


def _has(names: list[str], module: str) -> bool:
    return any(name.startswith(f"{module}.") for name in names)


def _modules(names: list[str]) -> list[str]:
    """The modules of parameters, in order, each once."""
    return list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))


def _read_run(workdir: pathlib.Path, labels) -> Pretrained:
    config = run_folder.load_config(workdir)
    config.eval.checkpoint = "latest"
    run = Run(workdir, config)
    weights = torch_weights.export_torch_weights(run.model)
    if labels is not None and labels != (run_folder.training_name(config), run.pids):
        for key in list(weights):
            if torch_weights.canonical_name(key).startswith("classifier."):
                del weights[key]
    return Pretrained(
        source=str(workdir),
        weights=weights,
        description=f"{config.model.backbone} with temporal={config.model.temporal!r}, "
        f"step {run.step} on {run_folder.training_name(config)}",
        normalizations=(config.data.normalization,),
        fingerprint=run.fingerprint,
    )


# Classes of 3D-ResNets-PyTorch's later checkpoints: Kinetics-700, Moments in Time,
# STAIR-Actions, and what was trained on several of them.
_LATER_KINETICS = (700, 339, 100, 1039, 800, 439, 1139)


def recognise(weights: Mapping[str, np.ndarray]) -> tuple[str, tuple[str, ...]]:
    """What `weights` are of, in words, and the normalizations that go with them.

    By the first convolution's axes, C3D's own layers and the number of classes.
    """
    shapes = {torch_weights.canonical_name(k): v.shape for k, v in weights.items()}
    num_classes = shapes.get("classifier.weight", (None,))[0]
    classes = f"{num_classes} classes" if num_classes else "no classifier"
    if any(key.startswith("backbone.conv1a.conv") for key in weights):
        return f"C3D of mmaction2, {classes}", ()
    if "fc6.weight" in shapes:
        return f"C3D, {classes}", ("c3d", "c3d_cube")
    if "conv1.weight" not in shapes or "layer1.0.conv1.weight" not in shapes:
        return f"unknown network, {classes}", ()
    if len(shapes["conv1.weight"]) == 4:
        ibn = " with IBN-a" if "layer1.0.bn1.IN.weight" in shapes else ""
        return f"2-D ResNet{ibn}, {classes}", ("imagenet",)
    known = {400: ("kinetics",)} | dict.fromkeys(_LATER_KINETICS, ("kinetics_std",))
    return f"3-D ResNet, {classes}", known.get(num_classes, ())
