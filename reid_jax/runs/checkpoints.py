"""Writes and reads a run's checkpoints; the two newest and the best are kept.

They are in Orbax's format, written under a temporary name and renamed when complete.
"""

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging as absl_logging

from reid_jax import files, peers
from reid_jax.runs.folder import WorkdirError

Scalars = dict[str, float | int]

_ELSEWHERE = "another process of the run could not read it"
_CHANGED = "its values are not those that were saved"

_FILES_BYTES = 2**20
"""Upper bound of the bytes that a checkpoint takes on disk beside its arrays."""


class CheckpointGoneError(WorkdirError):
    """A checkpoint was deleted by another process while it was read."""


class Checkpoints:
    """Train states under `<workdir>/checkpoints`: the two newest, and the best.

    Resuming needs the newest state, and the one before it if the newest is damaged.
    Only the program that trains may open them with `write`: it deletes unfinished
    checkpoints.
    """

    def __init__(self, workdir: str | os.PathLike, write: bool = False):
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_NewestAndBest(self),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=write,
            read_only=not write,
            # Orbax warns when these two do not fit read_only.
            create=write,
            save_interval_steps=int(write),
            multiprocessing_options=_all_processes() if write else _this_process(),
        )
        try:
            with _without_notices():
                self._manager = ocp.CheckpointManager(self.folder, options=options)
        except OSError as error:
            raise WorkdirError(f"{self.folder}: {error.strerror}.") from None
        self._notes = {step: self._stored_notes(step) for step in self.steps()}

    def save(
        self,
        state: Any,
        metrics: dict[str, float] | None = None,
        unlogged: Sequence[Scalars] = (),
    ) -> None:
        """Saves a train state under its step.

        Args:
            state: the state; its `step` names the checkpoint.
            metrics: scores of the state. Only a checkpoint with "mean_ap" can be best.
            unlogged: scalars of earlier steps that are not in the log yet.

        Raises:
            WorkdirError: the disk is full; earlier checkpoints are untouched.
        """
        step = int(state.step)
        disk_full = WorkdirError(
            f"No space left for the checkpoint of step {step} in {self.folder}; whole "
            f"checkpoints there: {self.steps() or 'none'}. {files.ADVICE}"
        )
        # Checked in advance: Orbax's many threads would each report the full disk.
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _FILES_BYTES
        try:
            lacks_space = shutil.disk_usage(self.folder).free < num_bytes
        except OSError:  # cannot be known; Orbax reports what is wrong
            lacks_space = False
        # All processes stop together, as Orbax would wait for each of them.
        if peers.any_process(lacks_space):
            raise disk_full
        notes = {"mean_ap": (metrics or {}).get("mean_ap"), "unlogged": list(unlogged)}
        notes["weights"] = weights_fingerprint(state.params, state.batch_stats)
        notes["sha256"] = _digest(state, notes)
        content = ocp.args.Composite(
            state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(notes)
        )
        self._notes[step] = notes
        verbosity = absl_logging.get_verbosity()
        # Orbax's threads would also log the errors that are raised here.
        absl_logging.set_verbosity(absl_logging.FATAL)
        try:
            self._manager.save(step, args=content)
        except Exception as error:
            del self._notes[step]
            for path in self.folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)
            if not files.is_full_error(error):
                raise
            raise disk_full from None
        finally:
            absl_logging.set_verbosity(verbosity)

    def steps(self) -> list[int]:
        """Steps of all complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        """Step of the newest checkpoint; None without any."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """Step of the checkpoint with the highest mAP; None before any evaluation."""
        scored = [step for step in self.steps() if self.best_metric(step) is not None]
        return max(scored, key=lambda s: (self.best_metric(s), s), default=None)

    def best_metric(self, step: int) -> float | None:
        """mAP in [0, 1] stored with a checkpoint; None if it was not evaluated."""
        return self._notes[step].get("mean_ap")

    def fingerprint(self, step: int) -> str:
        """SHA-256 of the weights in the checkpoint of `step`.

        Checkpoints of early versions of reid-jax have only that of all their content.
        """
        notes = self._notes[step]
        return notes.get("weights") or notes.get("sha256") or f"step {step}"

    def restore_newest(self, like: Any) -> tuple[int, Any, list[dict]] | None:
        """Restores the newest checkpoint that is not damaged.

        Newer, damaged checkpoints are reported and moved to `<workdir>/damaged`.

        Args:
            like: see `restore`.

        Returns:
            Its step, its state, and the `unlogged` scalars given to `save`; None when
            there is no checkpoint.

        Raises:
            WorkdirError: all checkpoints are damaged.
        """
        problems = {}
        for step in reversed(self.steps()):
            state = None
            try:
                state, notes = self._read(step, like)
            except WorkdirError as error:
                problems[step] = str(error)
            if peers.any_process(state is None):  # all must restore the same step
                problems.setdefault(step, str(self._unreadable(step, _ELSEWHERE)))
                continue
            with peers.main_process_first():
                for damaged_step, problem in problems.items():
                    self._move_damaged(damaged_step, problem)
            self._manager.reload()
            return step, state, notes["unlogged"]
        if problems:
            raise WorkdirError(" ".join(problems.values()))
        return None

    def _move_damaged(self, step: int, problem: str) -> None:
        if peers.is_main_process():
            target = self.folder.parent / "damaged" / str(step)
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(exist_ok=True)
            (self.folder / str(step)).rename(target)
            print(f"{problem} It is in {target} now.", file=sys.stderr)

    def restore(self, step: int, like: Any) -> Any:
        """Restores the state of `step`, with structure, dtypes and shardings of `like`.

        Raises:
            WorkdirError: the files are damaged or of another network.
        """
        return self._read(step, like)[0]

    def restore_weights(self, step: int, params: Any, batch_stats: Any) -> tuple:
        """Restores parameters and statistics of `step`, without the optimizer's state.

        `params` and `batch_stats` give the structure: arrays, or shapes with shardings.

        Raises:
            CheckpointGoneError: the checkpoint was deleted.
            WorkdirError: as `restore`.
        """
        like = {"params": params, "batch_stats": batch_stats}
        arguments = ocp.args.PyTreeRestore(
            item=like,
            restore_args=ocp.checkpoint_utils.construct_restore_args(like),
            partial_restore=True,
        )
        weights, notes = self._load(step, arguments)
        weights = weights["params"], weights["batch_stats"]
        if notes.get("weights") not in (None, weights_fingerprint(*weights)):
            raise self._unreadable(step, _CHANGED)
        return weights

    def _read(self, step: int, like: Any) -> tuple[Any, dict]:
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        state, notes = self._load(step, ocp.args.StandardRestore(target))
        expected = notes.pop("sha256")
        if expected != _digest(state, notes):
            raise self._unreadable(step, _CHANGED)
        return state, notes

    def _load(self, step: int, state: ocp.args.CheckpointArgs) -> tuple[Any, dict]:
        """Loads a step's state, as the Orbax argument `state` asks, and its notes."""
        content = ocp.args.Composite(state=state, notes=ocp.args.JsonRestore())
        try:
            with _without_notices():
                restored = self._manager.restore(step, args=content)
            return restored.state, dict(restored.notes)
        except (MemoryError, PermissionError):
            raise  # nothing is wrong with the checkpoint
        except Exception as error:  # Orbax raises anything on damaged files
            if not (self.folder / str(step)).exists():
                raise CheckpointGoneError(
                    f"The checkpoint of step {step} in {self.folder} was deleted while "
                    "it was read: the run is being trained. Run the command again."
                ) from error
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            if 'Item "notes" was not found' in reason:
                reason = "an earlier version of reid-jax wrote it; use that, or train "
                reason += "again in another --workdir"
            raise self._unreadable(step, reason) from error

    def _stored_notes(self, step: int) -> dict:
        content = ocp.args.Composite(notes=ocp.args.JsonRestore())
        try:
            with _without_notices():
                return dict(self._manager.restore(step, args=content).notes)
        except Exception:  # damaged: reported when its state is read
            return {}

    def _unreadable(self, step: int, reason: str) -> WorkdirError:
        return WorkdirError(
            f"The checkpoint of step {step} in {self.folder} cannot be read: {reason}."
        )

    def close(self) -> None:
        self._manager.close()


class _NewestAndBest:
    """Orbax's policy which checkpoints to keep: the two newest and the best."""

    def __init__(self, checkpoints_of_run: Checkpoints):
        self._checkpoints = checkpoints_of_run

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        steps_to_keep = {*sorted(steps)[-2:], self._checkpoints.best_step()}
        return [step in steps_to_keep for step in steps]


@contextlib.contextmanager
def _without_notices():
    """Hides Orbax's log messages below errors while the block runs."""

    def is_error(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger = logging.getLogger("absl")
    logger.addFilter(is_error)
    try:
        yield
    finally:
        logger.removeFilter(is_error)


_all_processes = ocp.options.MultiprocessingOptions


def _this_process() -> ocp.options.MultiprocessingOptions:
    """Options with which this process waits for no other."""
    process_id = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=process_id,
        active_processes={process_id},
        barrier_sync_key_prefix=f"process_{process_id}",
    )


def weights_fingerprint(params: Any, batch_stats: Any) -> str:
    """SHA-256 of a network's parameters and statistics."""
    return _digest({"params": params, "batch_stats": batch_stats}, {})


def _digest(arrays: Any, notes: dict) -> str:
    """SHA-256 of all arrays with their paths in the tree, and of the notes."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for path, leaf in jax.tree.leaves_with_path(arrays):
        description = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}"
        digest.update(description.encode())
        digest.update(np.ascontiguousarray(jax.device_get(leaf)))
    return digest.hexdigest()
