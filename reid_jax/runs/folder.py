"""A run's folder: its lock, its resolved config and the persons of its labels."""

import contextlib
import fcntl
import json
import operator
import os
import pathlib
import socket
import time
from typing import Any

import numpy as np
from ml_collections import config_dict

from configs import base
from reid_jax import files, peers
from reid_jax.cli import arguments as cli_arguments
from reid_jax.errors import UserError
from reid_jax.input.source import Source

MAY_CHANGE = (
    "data.data_dir",
    "data.cache",
    "train.epochs",
    "train.max_steps",
    "train.eval_every_epochs",
    "train.checkpoint_every_epochs",
    "train.log_every_steps",
    "train.profile_steps",
    "train.accumulate",
    "model.remat",
    "eval.",
)
"""Fields, or prefixes of fields, that may change when a run is resumed."""


def eval_folder(workdir: str | os.PathLike, dataset: str) -> pathlib.Path:
    """Folder for the results of a run on a dataset: `<workdir>/eval/<dataset>`."""
    return pathlib.Path(workdir) / "eval" / dataset.replace("/", "-")


class WorkdirError(UserError):
    """A workdir that cannot be used; the message says how to fix it."""


@contextlib.contextmanager
def lock(workdir: str | os.PathLike):
    """Locks `workdir` for this process while the block runs; creates it if needed.

    The operating system frees the lock when the process ends, however it ends. On a
    file system without locks a warning is printed and nothing is locked.

    Raises:
        WorkdirError: another process has the lock (the message names it), or the
            folder cannot be created.
    """
    folder = pathlib.Path(workdir)
    if folder.exists() and not folder.is_dir():
        raise WorkdirError(f"--workdir={workdir} is a file; a folder is needed.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+", errors="replace")
    except OSError as error:
        raise WorkdirError(f"--workdir={workdir}: {error.strerror}.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip().splitlines()[:1] or ["another process"]
            raise WorkdirError(
                f"{workdir} is being written by {owner[0]}: stop it first, or choose "
                "another --workdir."
            ) from None
        except OSError as error:
            print(f"{workdir} cannot be locked ({error.strerror}): train there once.")
        file.truncate(0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n")
        file.flush()
        yield


@contextlib.contextmanager
def opened(workdir: str | os.PathLike, config: config_dict.ConfigDict, source: Source):
    """Locks `workdir` while the block runs (`lock`) and claims it (`claim_config`).

    With several processes, the first does it for all.
    """
    with contextlib.ExitStack() as locks:
        with peers.main_process_first():
            if peers.is_main_process():
                locks.enter_context(lock(workdir))
                claim_config(workdir, config, source.pids, source.training.fingerprint)
        yield


def claim_config(
    workdir: str | os.PathLike,
    config: config_dict.ConfigDict,
    pids: np.ndarray,
    fingerprint: str,
) -> None:
    """Stores `config` in `workdir`; checks it first if the folder has checkpoints.

    Args:
        workdir: folder of the run.
        config: the complete config.
        pids: person id of each label, [N].
        fingerprint: of the training split; stored with `pids` in
            `training_data.json`.

    Raises:
        WorkdirError: the folder holds a run of another config, of other persons or of
            other tracklets, or published weights.
    """
    path = pathlib.Path(workdir) / "config.json"
    if path.with_name(PUBLISHED).exists():
        raise WorkdirError(
            f"{workdir} holds published weights; choose another --workdir, with "
            f"--config.init_from={workdir} to start from them."
        )
    # A run that ended before its first complete checkpoint may be replaced.
    checkpoints = (path.parent / "checkpoints").glob("[0-9]*")
    if any(checkpoint.name.isdigit() for checkpoint in checkpoints):
        if changed := changes(load_config(workdir), config):
            raise WorkdirError(
                f"{workdir} holds a run of another config: {'; '.join(changed)}. "
                "Choose another --workdir or restore these values."
            )
        stored = _training_data(workdir)
        if stored["pids"] != pids.tolist():
            raise WorkdirError(
                f"{workdir} was trained on other persons than {training_name(config)} "
                "has now; choose another --workdir."
            )
        if stored["fingerprint"] != fingerprint:
            raise WorkdirError(
                f"{training_name(config)} has changed since {workdir} was trained on "
                "it: other tracklets or frames; choose another --workdir."
            )
    path.with_name(_FINISHED).unlink(missing_ok=True)
    write_config(workdir, config, pids.tolist(), fingerprint)


def write_config(
    workdir: str | os.PathLike,
    config: config_dict.ConfigDict,
    pids: list[int],
    fingerprint: str,
) -> None:
    """Writes `config.json` and `training_data.json`; arguments as `claim_config`."""
    folder = pathlib.Path(workdir)
    data = {"pids": pids, "fingerprint": fingerprint}
    files.write_json(folder / _TRAINING_DATA, data)
    files.write_json(folder / "config.json", json.loads(config.to_json_best_effort()))


PUBLISHED = "weights.safetensors"
"""Name of the file of weights that replaces a run's checkpoints when published."""

_TRAINING_DATA = "training_data.json"
_FINISHED = "finished.json"


def mark_finished(workdir: str | os.PathLike, step: int) -> None:
    """Marks the run as complete at `step`; `claim_config` removes the mark."""
    files.write_json(pathlib.Path(workdir) / _FINISHED, {"step": step})


def is_finished(workdir: str | os.PathLike) -> bool:
    """Whether the run reached its last step and has not been resumed since."""
    return (pathlib.Path(workdir) / _FINISHED).exists()


def _training_data(workdir: str | os.PathLike) -> dict[str, Any]:
    """Reads `pids` and `fingerprint`; WorkdirError if they are missing or damaged."""
    path = pathlib.Path(workdir) / _TRAINING_DATA
    try:
        data = json.loads(path.read_text())
        pids = [operator.index(pid) for pid in data["pids"]]
        return {"pids": pids, "fingerprint": str(data["fingerprint"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        is_older = (path.parent / "identities.json").exists()
        reason = repr(error)
        if is_older:
            reason = "an earlier version of reid-jax trained here"
        raise WorkdirError(
            f"{path} is missing or damaged ({reason}): without it nobody knows which "
            "person a label is; choose another --workdir or train again."
        ) from None


def training_name(config: config_dict.ConfigDict) -> str:
    """Name of the training data: `config.data.name`, or those of its mixture."""
    return " + ".join(config.data.mixture) or config.data.name


def load_pids(workdir: str | os.PathLike) -> list[int]:
    """Reads the person id of each label of the run in `workdir`."""
    return _training_data(workdir)["pids"]


def load_config(workdir: str | os.PathLike) -> config_dict.ConfigDict:
    """Reads the config of the run in `workdir`; missing fields get their default.

    Raises:
        WorkdirError: the folder holds no run, or its config is damaged.
    """
    path = pathlib.Path(workdir) / "config.json"
    config = base.get_config()
    try:
        stored = json.loads(path.read_text())
        if not isinstance(stored, dict):
            raise UserError("it holds no fields")
        for group, fields in stored.items():
            is_group = isinstance(config.get(group), config_dict.ConfigDict)
            if is_group and not isinstance(fields, dict):
                raise UserError(f"{group} holds no fields")
        config.update(_tuples(stored))
        if config.data.cache == "ram":  # earlier versions' name of the file cache
            config.data.cache = "disk"
    except PermissionError as error:
        raise WorkdirError(f"{path} cannot be read: {error.strerror}.") from None
    except OSError:
        raise WorkdirError(
            f"{workdir} holds no run (no config.json); train one with "
            f"python train.py --config=configs/NAME.py --workdir={workdir}"
        ) from None
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise WorkdirError(
            f"{path} is damaged: {str(error).splitlines()[0]}. Choose another "
            "--workdir, or put back the file as train.py wrote it."
        ) from None
    return config


def config_of_arguments(arguments: list[str]) -> config_dict.ConfigDict:
    """Reads the config of the run in `--workdir`; without that flag, the default one.

    It must be known before flags are parsed: `--config.x=y` is checked against it.
    """
    for value in cli_arguments.values_of(arguments, "workdir"):
        workdir = value.partition(",")[0]  # the first, if there are several
        with contextlib.suppress(WorkdirError):  # the program reports it later
            return load_config(workdir)
    return base.get_config()


def _tuples(value: Any) -> Any:
    """Replaces the lists that JSON has by the tuples that configs have."""
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(value) if isinstance(value, list) else value


def changes(
    old: config_dict.ConfigDict,
    new: config_dict.ConfigDict,
    ignored: tuple[str, ...] = MAY_CHANGE,
) -> list[str]:
    """Describes each field that differs, except those with a prefix in `ignored`."""
    before, after = flat(old), flat(new)
    return [
        f"{field} was {before.get(field)!r}, now {after.get(field)!r}"
        for field in sorted(before | after)
        if before.get(field) != after.get(field) and not field.startswith(ignored)
    ]


def flat(config: config_dict.ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Flattens a config to `{"data.name": …}`."""
    fields = {}
    for key in config:
        value = config[key]
        if isinstance(value, config_dict.ConfigDict):
            fields |= flat(value, f"{prefix}{key}.")
        else:
            fields[prefix + key] = value
    return fields
