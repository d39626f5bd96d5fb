"""Reads the weights that a run starts from: a checkpoint file or another run."""

import dataclasses
import hashlib
import pathlib
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from flax import nnx

from reid_jax.errors import UserError
from reid_jax.input.pixels import NORMALIZATIONS
from reid_jax.models import (
    checkpoint_files,
    recognition,
    torch_weights,
    weight_prefixes,
)
from reid_jax.runs import folder as run_folder
from reid_jax.runs.published import OF_PERSONS
from reid_jax.runs.run import Run

HEADS = (
    "bottleneck",
    "classifier",
    "centers",
    "attention_conv",
    "attention_fc",
    "attention_tconv",
    "lstm",
    "gru",
)
"""Modules that a backbone's checkpoint lacks, or has for other classes."""


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """Weights under the names of their source, and a description of that source.

    `normalizations` are the names of `pixels.NORMALIZATIONS` that the weights may have
    been trained with; empty if that is unknown.
    """

    source: str
    weights: Mapping[str, np.ndarray]
    description: str
    normalizations: tuple[str, ...]
    fingerprint: str  # SHA-256 of a file, or of the weights of a run
    is_noted: bool = True  # False: the normalizations are guessed from the shapes
    prefix: str = ""  # prefix of the network's names in the file, removed here
    left_out: tuple[str, ...] = ()  # keys of the file without that prefix
    wrapper: str = ""  # name of the dictionary that was read, such as "state_dict"
    others: tuple[str, ...] = ()  # dictionaries not read, such as "state_dict_ema"

    @property
    def location(self) -> str:
        """Place of the weights in a file, in words; empty if there is no choice."""
        words = []
        if self.others:
            words.append(
                f"{self.wrapper!r} of it and not {', '.join(map(repr, self.others))}"
            )
        if self.prefix:
            words.append(f"under the prefix {self.prefix!r}")
        return "".join(f", {text}" for text in words)


def read(
    source: str,
    *,
    labels: tuple[str, list[int]] | None = None,
    model: nnx.Module | None = None,
    prefix: str | None = None,
) -> Pretrained:
    """Reads the weights of a checkpoint file, or of the run in a workdir.

    Args:
        source: the file or the workdir.
        labels: name of the training data and person id of each label, of the network
            that gets the weights. The classifier and centres of a run with other
            persons are left out.
        model: that network; a file's prefix is chosen to fit it.
        prefix: prefix of the weights in a file; None: the one that fits `model`, or
            without `model` any network we know.

    Raises:
        UserError: the source cannot be read, or several networks in a file fit.
    """
    path = pathlib.Path(source)
    if path.is_dir():
        return _read_run(path, labels)
    checkpoint = checkpoint_files.read(path)
    try:
        if prefix is not None:
            weight_prefixes.check(checkpoint.weights, prefix)
        elif model is not None:
            prefix = weight_prefixes.find(checkpoint.weights, _trunk(model))
        else:
            prefix = weight_prefixes.find_trunk(checkpoint.weights)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    weights, left_out = weight_prefixes.strip(checkpoint.weights, prefix, HEADS)
    description, normalizations = recognition.recognise(weights)
    noted_normalization = checkpoint_files.read_metadata(path).get("normalization")
    if noted_normalization:
        normalizations = tuple(noted_normalization.split(","))
        unknown = [name for name in normalizations if name not in NORMALIZATIONS]
        if unknown:
            raise UserError(
                f"{path} notes normalization={unknown[0]!r}; known: "
                f"{', '.join(NORMALIZATIONS)}."
            )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Pretrained(
        source,
        weights,
        description,
        normalizations,
        digest,
        is_noted=bool(noted_normalization),
        prefix=prefix,
        left_out=tuple(left_out),
        wrapper=checkpoint.wrapper,
        others=checkpoint.others,
    )


def parts(keys: Sequence[str]) -> list[str]:
    """Outermost modules of keys, each with its number of tensors, in words."""
    count = Counter(key.split(".")[0] for key in keys)
    return [f"{part} ({num} tensors)" for part, num in count.items()]


def _trunk(model: nnx.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of a network's parameters by canonical name, without the heads."""
    shapes = {
        torch_weights.canonical_name(key): value.shape
        for key, value in torch_weights.export_torch_weights(model).items()
        if not key.endswith("num_batches_tracked")
    }
    heads = tuple(f"{head}." for head in HEADS)
    return {name: shape for name, shape in shapes.items() if not name.startswith(heads)}


def _read_run(workdir: pathlib.Path, labels) -> Pretrained:
    config = run_folder.load_config(workdir)
    config.eval.checkpoint = "latest"
    run = Run(workdir, config)
    weights = torch_weights.export_torch_weights(run.model)
    if labels is not None and labels != (run_folder.training_name(config), run.pids):
        for key in list(weights):
            name = torch_weights.canonical_name(key)
            if name.startswith(tuple(f"{part}." for part in OF_PERSONS)):
                del weights[key]
    return Pretrained(
        source=str(workdir),
        weights=weights,
        description=f"{config.model.backbone} with temporal={config.model.temporal!r}, "
        f"step {run.step} on {run_folder.training_name(config)}",
        normalizations=(config.data.normalization,),
        fingerprint=run.fingerprint,
    )
