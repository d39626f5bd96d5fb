"""Publishes a run as one file of weights, small enough for a repository.

`weights.safetensors` replaces the checkpoints; it has the names and layouts of the
original code. The list of training persons, and weights with a row for each of them,
are left out. `Run`, evaluate.py and reid_jax.footage open such a folder;
--config.init_from starts from it.
"""

import hashlib
import os
import pathlib
from typing import Any

import jax
import numpy as np
from flax import nnx
from ml_collections import config_dict

from reid_jax.models import build_model, checkpoint_files, torch_weights
from reid_jax.runs import folder as run_folder
from reid_jax.runs.folder import PUBLISHED, WorkdirError

OF_PERSONS = ("classifier", "centers")
"""Modules whose weights have a row for each training person."""


def is_published(workdir: str | os.PathLike) -> bool:
    """Whether the folder holds a file of weights in place of checkpoints."""
    return (pathlib.Path(workdir) / PUBLISHED).is_file()


class PublishedWeights:
    """The weights of a published run, with the methods of `checkpoints.Checkpoints`.

    There is one step, which is the latest and the best. `num_persons` is how many
    persons the network was trained on.

    Raises:
        WorkdirError: the file is damaged or of another network.
    """

    def __init__(self, workdir: str | os.PathLike, config: config_dict.ConfigDict):
        self._path, self._config = pathlib.Path(workdir) / PUBLISHED, config
        self._digest = digest(self._path)
        texts = checkpoint_files.read_metadata(self._path)
        try:
            self._arrays = texts["arrays"]
            self._step, self.num_persons = int(texts["step"]), int(texts["persons"])
        except (LookupError, ValueError):
            raise WorkdirError(
                f"{self._path} was not published by reid-jax: it does not say its step."
            ) from None

    def latest_step(self) -> int:
        return self._step

    def best_step(self) -> int:
        return self._step

    def fingerprint(self, step: int) -> str:
        """SHA-256 of the file."""
        return self._digest

    def restore_weights(self, step: int, params: Any, batch_stats: Any) -> tuple:
        """See `Checkpoints.restore_weights`."""
        model = build_model(self._config.model, 0, rngs=nnx.Rngs(0))
        weights = checkpoint_files.read_checkpoint(self._path)
        if _digest_arrays(weights) != self._arrays:
            raise WorkdirError(f"{self._path} is damaged: its values have changed.")
        try:
            torch_weights.load_torch_weights(model, weights, partial=OF_PERSONS)
        except torch_weights.WeightsError as error:
            problem, *others = error.problems
            more = f" and {len(others)} more" if others else ""
            raise WorkdirError(
                f"{self._path} does not fit the network of config.json: "
                f"{problem}{more}."
            ) from None
        _, *trees = nnx.split(model, nnx.Param, nnx.BatchStat)

        def on_devices(example, value):
            return jax.device_put(value, example.sharding)

        examples = (params, batch_stats)
        return tuple(
            jax.tree.map(on_devices, example, nnx.as_pure(tree))
            for example, tree in zip(examples, trees, strict=True)
        )

    def close(self) -> None:
        """Does nothing, as no file is open."""


def publish(
    model: nnx.Module,
    config: config_dict.ConfigDict,
    folder: str | os.PathLike,
    *,
    step: int,
    num_persons: int,
) -> pathlib.Path:
    """Writes `model` as a published run into `folder`; returns the file of weights.

    An earlier publication there is replaced.

    Raises:
        WorkdirError: `folder` holds anything else, such as a run.
    """
    folder = pathlib.Path(folder)
    is_new = not folder.exists() or not any(folder.iterdir())
    if not (is_new or is_published(folder)) or (folder / "checkpoints").exists():
        raise WorkdirError(f"{folder} holds other files; publish into a new folder.")
    config = config.copy_and_resolve_references()
    config.init_from = None  # a path of the machine that trained
    person_modules = tuple(f"{name}." for name in OF_PERSONS)
    weights = {
        key: value
        for key, value in torch_weights.export_torch_weights(model).items()
        if not torch_weights.canonical_name(key).startswith(person_modules)
    }
    metadata = {"step": str(step), "persons": str(num_persons)}
    metadata["normalization"] = config.data.normalization
    metadata["arrays"] = _digest_arrays(weights)
    folder.mkdir(parents=True, exist_ok=True)
    run_folder.write_config(folder, config, pids=[], fingerprint="")
    checkpoint_files.write_checkpoint(folder / PUBLISHED, weights, metadata)
    return folder / PUBLISHED


def _digest_arrays(weights: dict[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names."""
    sha256 = hashlib.sha256()
    for name, values in sorted(weights.items()):
        values = np.ascontiguousarray(values)  # a number becomes an array, as in files
        sha256.update(f"{name} {values.dtype} {values.shape}".encode())
        sha256.update(values)
    return sha256.hexdigest()


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
