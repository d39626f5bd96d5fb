"""The checkpoints of a run: the two newest and the best.

They are orbax's, written under another name and renamed when whole.
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

from reid_jax import files, parallel
from reid_jax.runs.folder import WorkdirError

Scalars = dict[str, float | int]

_ELSEWHERE = "another process of the run could not read it"
_CHANGED = "its values are not those that were saved"

_FILES_BYTES = 2**20
"""What a checkpoint takes on disk beside its arrays, at most."""


class CheckpointGoneError(WorkdirError):
    """A checkpoint that another process has deleted."""


class Checkpoints:
    """Train states under `<workdir>/checkpoints`: the two newest, and the best.

    A best-only policy would delete the newest state, which resuming needs; the one
    before it is there in case the newest is damaged. Only the program that trains may
    write: another one's unfinished checkpoint is its own.
    """

    def __init__(self, workdir: str | os.PathLike, write: bool = False):
        self.folder = pathlib.Path(workdir).absolute() / "checkpoints"
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_NewestAndBest(self),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=write,
            read_only=not write,
            # Orbax warns where these two do not fit read_only.
            create=write,
            save_interval_steps=int(write),
            multiprocessing_options=_everybody() if write else _alone(),
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
        """Save `state` under its step; only with `metrics["mean_ap"]` can it be best.

        `unlogged` are scalars of steps that the log has not got yet.
        Raises WorkdirError, earlier checkpoints untouched, when the disk is full.
        """
        step = int(state.step)
        full = WorkdirError(
            f"No space left for the checkpoint of step {step} in {self.folder}; whole "
            f"checkpoints there: {self.steps() or 'none'}. {files.ADVICE}"
        )
        # Orbax writes from many threads, each of which would report the full disk.
        needed = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _FILES_BYTES
        try:
            lacks_space = shutil.disk_usage(self.folder).free < needed
        except OSError:  # not known: orbax will say what is wrong
            lacks_space = False
        if parallel.any_process(lacks_space):  # else the others would wait for ever
            raise full
        notes = {"mean_ap": (metrics or {}).get("mean_ap"), "unlogged": list(unlogged)}
        notes["weights"] = weights_fingerprint(state.params, state.batch_stats)
        notes["sha256"] = _digest(state, notes)
        content = ocp.args.Composite(
            state=ocp.args.StandardSave(state), notes=ocp.args.JsonSave(notes)
        )
        self._notes[step] = notes
        verbosity = absl_logging.get_verbosity()
        # Orbax's threads log what is raised here.
        absl_logging.set_verbosity(absl_logging.FATAL)
        try:
            self._manager.save(step, args=content)
        except Exception as error:
            del self._notes[step]
            for path in self.folder.glob(f"{step}.orbax-checkpoint-tmp*"):
                shutil.rmtree(path, ignore_errors=True)
            if not files.is_full_error(error):
                raise
            raise full from None
        finally:
            absl_logging.set_verbosity(verbosity)

    def steps(self) -> list[int]:
        return sorted(self._manager.all_steps())

    def latest_step(self) -> int | None:
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The evaluated step of highest mAP; None before the first evaluation."""
        scored = [step for step in self.steps() if self.best_metric(step) is not None]
        return max(scored, key=lambda s: (self.best_metric(s), s), default=None)

    def best_metric(self, step: int) -> float | None:
        """mAP stored with the checkpoint of `step`, if it was evaluated."""
        return self._notes[step].get("mean_ap")

    def fingerprint(self, step: int) -> str:
        """SHA-256 of the weights that the checkpoint of `step` holds.

        Earlier versions of reid-jax wrote that of the whole checkpoint.
        """
        notes = self._notes[step]
        return notes.get("weights") or notes.get("sha256") or f"step {step}"

    def restore_newest(self, like: Any) -> tuple[int, Any, list[dict]] | None:
        """The newest whole checkpoint: its step, state, and `unlogged` of `save`.

        None without any. Damaged ones after it are reported and moved to
        `<workdir>/damaged`. `like`: as `restore`. Raises WorkdirError when there are
        checkpoints, but none is whole.
        """
        problems = {}
        for step in reversed(self.steps()):
            state = None
            try:
                state, notes = self._read(step, like)
            except WorkdirError as error:
                problems[step] = str(error)
            if parallel.any_process(state is None):  # all take the same step
                problems.setdefault(step, str(self._unreadable(step, _ELSEWHERE)))
                continue
            with parallel.main_process_first():
                for damaged, problem in problems.items():
                    self._put_aside(damaged, problem)
            self._manager.reload()
            return step, state, notes["unlogged"]
        if problems:
            raise WorkdirError(" ".join(problems.values()))
        return None

    def _put_aside(self, step: int, problem: str) -> None:
        if parallel.is_main_process():
            place = self.folder.parent / "damaged" / str(step)
            shutil.rmtree(place, ignore_errors=True)
            place.parent.mkdir(exist_ok=True)
            (self.folder / str(step)).rename(place)
            print(f"{problem} It is in {place} now.", file=sys.stderr)

    def restore(self, step: int, like: Any) -> Any:
        """The state of `step`, with the structure, dtypes and shardings of `like`.

        Raises WorkdirError when its files are damaged or of another network.
        """
        return self._read(step, like)[0]

    def restore_weights(self, step: int, params: Any, batch_stats: Any) -> tuple:
        """Parameters and statistics of `step`, without the optimizer's moments.

        The arguments are like what is read: arrays, or shapes with their shardings.
        Raises CheckpointGoneError where it was deleted, and as `restore`.
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
        """What was saved under a step: the state, as the argument asks, and notes."""
        content = ocp.args.Composite(state=state, notes=ocp.args.JsonRestore())
        try:
            with _without_notices():
                restored = self._manager.restore(step, args=content)
            return restored.state, dict(restored.notes)
        except (MemoryError, PermissionError):
            raise  # nothing is wrong with the checkpoint
        except Exception as error:  # whatever its damage leads orbax to
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
        except Exception:  # damaged: whoever wants its state will hear of it
            return {}

    def _unreadable(self, step: int, reason: str) -> WorkdirError:
        return WorkdirError(
            f"The checkpoint of step {step} in {self.folder} cannot be read: {reason}."
        )

    def close(self) -> None:
        self._manager.close()


class _NewestAndBest:
    """Which checkpoints orbax keeps."""

    def __init__(self, saved: Checkpoints):
        self._saved = saved

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        steps = [checkpoint.step for checkpoint in checkpoints]
        kept = {*sorted(steps)[-2:], self._saved.best_step()}
        return [step in kept for step in steps]


@contextlib.contextmanager
def _without_notices():
    """Drops what orbax logs below errors while it reads, in whatever program."""

    def is_kept(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger = logging.getLogger("absl")
    logger.addFilter(is_kept)
    try:
        yield
    finally:
        logger.removeFilter(is_kept)


_everybody = ocp.options.MultiprocessingOptions


def _alone() -> ocp.options.MultiprocessingOptions:
    """This process waits for no other."""
    this = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=this,
        active_processes={this},
        barrier_sync_key_prefix=f"process_{this}",
    )


def weights_fingerprint(params: Any, batch_stats: Any) -> str:
    """SHA-256 of a network's parameters and statistics."""
    return _digest({"params": params, "batch_stats": batch_stats}, {})


def _digest(arrays: Any, notes: dict) -> str:
    """SHA-256 of all arrays with their places in the tree, and of the notes."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for path, leaf in jax.tree.leaves_with_path(arrays):
        place = f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape}"
        digest.update(place.encode())
        digest.update(np.ascontiguousarray(jax.device_get(leaf)))
    return digest.hexdigest()
