"""A run's folder: its resolved config and its checkpoints, the newest and the best.

Checkpoints are orbax's, written under another name and renamed when whole.
"""

import contextlib
import json
import os
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from ml_collections import config_dict
from orbax.checkpoint.checkpoint_managers import preservation_policy

from configs import base
from reid_jax import disk

MAY_CHANGE = (
    "data.data_dir",
    "train.epochs",
    "train.max_steps",
    "train.eval_every_epochs",
    "train.checkpoint_every_epochs",
    "train.log_every_steps",
    "eval.",
)
"""Fields (or groups) that a resumed run may change: they do not touch the training."""


_FILES_BYTES = 2**20
"""What a checkpoint takes on disk beside its arrays, at most."""


class WorkdirError(ValueError):
    """A workdir that cannot be used; the message says the way out."""


class Checkpoints:
    """Train states under `<workdir>/checkpoints`; the latest and the best are kept.

    A best-only policy would delete the newest state, which resuming needs. Only the
    program that trains may write: another one's unfinished checkpoint is its own.
    """

    def __init__(self, workdir: str | os.PathLike, *, write: bool = False):
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        policy = preservation_policy.AnyPreservationPolicy(
            [
                preservation_policy.LatestN(n=1),
                preservation_policy.BestN(
                    n=1,
                    get_metric_fn=_mean_ap,
                    keep_checkpoints_without_metrics=False,
                ),
            ]
        )
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policy,
            best_fn=_mean_ap,  # also what makes orbax store the metrics
            enable_async_checkpointing=False,
            cleanup_tmp_directories=write,
            read_only=not write,
        )
        try:
            self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise WorkdirError(f"{self.folder}: {error.strerror}.") from None

    def save(self, state: Any, metrics: dict[str, float] | None = None) -> None:
        """Save `state` under its step; only with `metrics["mean_ap"]` can it be best.

        Raises WorkdirError, earlier checkpoints untouched, when the disk is full.
        """
        step = int(state.step)
        full = WorkdirError(
            f"No space left for the checkpoint of step {step} in {self.folder}; whole "
            f"checkpoints there: {self.steps() or 'none'}. Free some space and run the "
            "same command to go on."
        )
        # Orbax writes from many threads, each of which would report the full disk.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _FILES_BYTES
        if shutil.disk_usage(self.folder).free < needed:
            raise full
        try:
            self._manager.save(step, args=ocp.args.StandardSave(state), metrics=metrics)
        except Exception as error:
            for path in self.folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)
            if not disk.is_full_error(error):
                raise
            raise full from None

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The evaluated step of highest mAP; None before the first evaluation."""
        scored = {s: self.best_metric(s) for s in self.steps()}
        scored = {s: score for s, score in scored.items() if score is not None}
        return max(scored, key=lambda s: (scored[s], s)) if scored else None

    def best_metric(self, step: int) -> float | None:
        """mAP stored with the checkpoint of `step`, if it was evaluated."""
        metrics = self._manager.metrics(step)
        return metrics.get("mean_ap") if metrics else None

    def restore(self, step: int, like: Any) -> Any:
        """The state of `step`, with the structure, dtypes and shardings of `like`.

        Raises WorkdirError when its files are damaged or of another network.
        """
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        try:
            return self._manager.restore(step, args=ocp.args.StandardRestore(target))
        except (ValueError, KeyError, OSError) as error:
            raise WorkdirError(
                f"The checkpoint of step {step} in {self._manager.directory} cannot be "
                f"read: {str(error).splitlines()[0][:200]}"
            ) from error

    def close(self) -> None:
        self._manager.close()


def _mean_ap(metrics: dict[str, float]) -> float:
    return metrics["mean_ap"]


def prepare_workdir(
    workdir: str | os.PathLike, config: config_dict.ConfigDict, pids: np.ndarray
) -> None:
    """Make `workdir` the run of `config`: store it, or check it against the stored one.

    `pids` [N], the person of each label, are stored beside it (`identities.json`).
    Raises WorkdirError when the folder holds a run of another config or other persons.
    """
    path = pathlib.Path(workdir) / "config.json"
    if path.parent.exists() and not path.parent.is_dir():
        raise WorkdirError(f"--workdir={workdir} is a file; a folder is needed.")
    # A start that failed before its first checkpoint binds nobody.
    if path.exists() and any((path.parent / "checkpoints").glob("[0-9]*")):
        changes = _changes(load_config(workdir), config)
        if changes:
            raise WorkdirError(
                f"{workdir} holds a run of another config: {'; '.join(changes)}. "
                "Choose another --workdir or restore these values."
            )
        if load_pids(workdir) != pids.tolist():
            raise WorkdirError(
                f"{workdir} was trained on other persons than {training_name(config)} "
                "has now; choose another --workdir."
            )
    write_json(path.with_name("identities.json"), pids.tolist())
    write_json(path, json.loads(config.to_json_best_effort()))


def training_name(config: config_dict.ConfigDict) -> str:
    """What the run is trained on: `config.data.name`, or the names of its mixture."""
    return " + ".join(config.data.mixture) or config.data.name


def load_pids(workdir: str | os.PathLike) -> list[int]:
    """The person id of each label of the run in `workdir`."""
    return json.loads((pathlib.Path(workdir) / "identities.json").read_text())


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write a file of the workdir, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text(json.dumps(content, indent=2) + "\n")
        unfinished.replace(path)
    except OSError as error:
        raise WorkdirError(f"{path}: {error.strerror}.") from None


def load_config(workdir: str | os.PathLike) -> config_dict.ConfigDict:
    """The config of the run in `workdir`; fields it does not know keep their default.

    Raises WorkdirError when the folder holds no run.
    """
    path = pathlib.Path(workdir) / "config.json"
    try:
        stored = json.loads(path.read_text())
    except OSError:
        raise WorkdirError(
            f"{workdir} holds no run (no config.json); train one with "
            f"python train.py --config=configs/NAME.py --workdir={workdir}"
        ) from None
    except json.JSONDecodeError as error:
        raise WorkdirError(f"{path} is damaged: {error}.") from None
    config = base.get_config()
    config.update(_tuples(stored))
    return config


def config_of_arguments(arguments: list[str]) -> config_dict.ConfigDict:
    """The config of the run that `--workdir` names, the default one without it.

    Flags are parsed against a config, so the workdir must be known before that.
    """
    for i, argument in enumerate(arguments):
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name == "workdir":
            workdirs = value or next(iter(arguments[i + 1 : i + 2]), "")
            workdir = workdirs.partition(",")[0]  # of several, the first
            with contextlib.suppress(WorkdirError):  # the program itself will say so
                return load_config(workdir)
    return base.get_config()


def _tuples(value: Any) -> Any:
    """JSON has lists only; the configs have tuples only."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _changes(old: config_dict.ConfigDict, new: config_dict.ConfigDict) -> list[str]:
    before, after = _flat(old), _flat(new)
    return [
        f"{field} was {before.get(field)!r}, now {after.get(field)!r}"
        for field in sorted(before | after)
        if before.get(field) != after.get(field) and not field.startswith(MAY_CHANGE)
    ]


def _flat(config: config_dict.ConfigDict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key in config:
        value = config[key]
        if isinstance(value, config_dict.ConfigDict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
