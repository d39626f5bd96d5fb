"""Sends messages between the processes of a run: values, checks, failures.

`parallel` lets the devices compute together. Here, processes exchange texts through a
key-value store. So a process may wait for hours while another one works.
"""

import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import socket
import sys
import time
import uuid
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax._src import distributed
from jax.experimental import multihost_utils

from reid_jax import files
from reid_jax.errors import UserError


def connect(
    coordinator: str | None, num_processes: int | None, process_id: int | None
) -> None:
    """Joins the other processes of a run; call it before JAX looks for devices.

    If the other processes do not join, JAX ends this process after five minutes.

    Args:
        coordinator: "host:port" of process 0; "auto": JAX asks the cluster (SLURM,
            Open MPI, Cloud TPU); None: a run of one process.
        num_processes: number of processes, with a "host:port".
        process_id: number of this process from 0, with a "host:port".

    Raises:
        UserError: numbers without a coordinator, a coordinator without numbers, an
            invalid coordinator, or one that does not answer for five minutes.
    """
    numbers = (num_processes, process_id)
    if coordinator in (None, "auto"):
        if any(number is not None for number in numbers):
            raise UserError("--num_processes and --process_id need --coordinator.")
        if coordinator == "auto":
            try:
                jax.distributed.initialize()
            except (ValueError, RuntimeError) as error:
                raise UserError(
                    f"--coordinator=auto: no cluster is known here ({error}) Give "
                    "--coordinator=HOST:PORT, --num_processes and --process_id."
                ) from None
        return
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UserError(
            f"--coordinator={coordinator} must be HOST:PORT of process 0, or auto."
        )
    if None in numbers or not 0 <= process_id < num_processes:
        raise UserError(
            f"--coordinator={coordinator} needs --num_processes=N and --process_id, "
            "0 to N-1."
        )
    print(f"process {process_id} of {num_processes}: the others meet at {coordinator}")
    if process_id > 0:
        _wait_for(host, int(port))
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except RuntimeError as error:  # the port is taken
        reason = str(error).splitlines()[0]
        raise UserError(f"--coordinator={coordinator}: {reason}") from None


_CONNECT_SECONDS = 300
_TELL_SECONDS = 10  # until a waiting process says so


def _wait_for(host: str, port: int) -> None:
    """Waits until the first process can be reached.

    JAX would wait too, but it would end this process by SIGABRT in the end.

    Raises:
        UserError: it cannot be reached for five minutes.
    """
    began, is_told = time.monotonic(), False
    while True:
        try:
            socket.create_connection((host.strip("[]"), port), timeout=10).close()
            return
        except OSError as error:
            waited, reason = time.monotonic() - began, error.strerror or error
            if waited > _CONNECT_SECONDS:
                raise UserError(
                    f"--coordinator={host}:{port}: no process 0 answers there "
                    f"({reason})."
                ) from None
            if waited > _TELL_SECONDS and not is_told:
                print(
                    f"no process 0 answers at {host}:{port} yet ({reason}); "
                    f"waiting up to {_CONNECT_SECONDS / 60:.0f} minutes",
                    file=sys.stderr,
                )
                is_told = True
        time.sleep(_POLL_SECONDS)


def is_main_process() -> bool:
    """Whether this is the first process, which prints and writes for all."""
    return jax.process_index() == 0


@contextlib.contextmanager
def main_process_first():
    """Runs the block in the first process, then in all the others.

    It may take hours: XLA's time limits do not apply to the processes that wait.

    Raises:
        UserError: in the others, without running the block, when it failed in the
            first process.
    """
    if jax.process_count() == 1:
        yield
        return
    name = f"main_process_first/{next(_meeting_numbers)}"
    if is_main_process():
        outcome = _FAILED
        try:
            yield
            outcome = _DONE
        finally:
            _client().key_value_set(name, outcome)
            if outcome == _FAILED:
                # The store ends with this process: let the others read and end first.
                _barrier(name)
                time.sleep(_ENDING_SECONDS)
    elif _wait_for_value(name) == _DONE:
        yield
    else:
        _barrier(name)
        raise UserError("the first process has stopped: see what it says.")


_DONE, _FAILED = "done", "failed"


def check_same(values: Mapping[str, object], subject: str) -> None:
    """Checks that all processes have the same values.

    Args:
        values: the values of this process by name.
        subject: name of the values in the error, such as "configs".

    Raises:
        UserError: in every process, when the values differ.
    """
    if jax.process_count() == 1:
        return
    digests = {
        name: hashlib.sha256(repr(value).encode()).hexdigest()
        for name, value in values.items()
    }
    digests_of_all = [
        json.loads(text) for text in _exchange("same", json.dumps(digests))
    ]
    if any(other_digests.keys() != digests.keys() for other_digests in digests_of_all):
        raise UserError(f"the processes of this run have different {subject}.")
    if names := [
        name
        for name in sorted(values)
        if len({other_digests[name] for other_digests in digests_of_all}) > 1
    ]:
        values_here = ", ".join(f"{name}={values[name]!r}" for name in names)
        raise UserError(
            f"the processes of this run have different {subject}; process "
            f"{jax.process_index()} has {values_here}."
        )


def wait_for_all(name: str) -> None:
    """Waits until every process has called this, however long it takes."""
    if jax.process_count() > 1:
        _exchange(name, "")


def told_by_all(value) -> list:
    """Returns the `value` of every process, in their order; it must fit into JSON."""
    if jax.process_count() == 1:
        return [value]
    return list(map(json.loads, _exchange("told", json.dumps(value))))


@contextlib.contextmanager
def failure_told():
    """Tells the other processes if the block fails in this process.

    `check_others` and all functions that wait for other processes then raise a
    UserError in the others. This is for work that processes do independently: a process
    that waits in a common computation does not notice the failure.
    """
    try:
        yield
    except BaseException:
        if _client() is not None:
            # Telling fails if the first process is gone.
            with contextlib.suppress(jax.errors.JaxRuntimeError):
                _publish_failure()
        raise


def check_others() -> None:
    """Raises a UserError if another process has failed in `failure_told`.

    It looks at most once a second, so it can be called often.
    """
    if jax.process_count() > 1 and time.monotonic() - _LastCheck.at > 1:
        _LastCheck.at = time.monotonic()
        _check_others()


class _LastCheck:
    at = 0.0  # by time.monotonic


def _check_others() -> None:
    failed = _try_get(_FAILURE)
    if failed not in (None, str(jax.process_index())):
        name = "the first process" if failed == "0" else f"process {failed}"
        raise UserError(f"{name} has stopped: see what it says.")


_FAILURE = "failure"
"""Key of the store; its value is the first process that failed."""


def _publish_failure() -> None:
    process = jax.process_index()
    if _try_get(_FAILURE) is None:
        _client().key_value_set(_FAILURE, str(process))
    _client().key_value_set(f"{_FAILURE}/heard/{process}", "")
    if is_main_process():  # the store ends with it: let the others read and end first
        deadline = time.monotonic() + _BARRIER_SECONDS
        missing = set(range(jax.process_count()))
        while missing and time.monotonic() < deadline:
            missing = {i for i in missing if _try_get(f"{_FAILURE}/heard/{i}") is None}
            time.sleep(_POLL_SECONDS)
        time.sleep(_ENDING_SECONDS)


def share_out(sizes: Sequence[int], num: int) -> list[list[int]]:
    """Divides pieces of work among `num` processes; returns positions by process.

    The pieces are assigned from the largest to the smallest, each to the process with
    the least work so far.
    """
    shares, loads = [[] for _ in range(num)], [0] * num
    for piece in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        process = loads.index(min(loads))
        shares[process].append(piece)
        loads[process] += sizes[piece]
    return list(map(sorted, shares))


def share() -> tuple[int, int]:
    """Returns the number of this process, from 0, and the number of processes."""
    return jax.process_index(), jax.process_count()


def sum_of_all(array: np.ndarray) -> np.ndarray:
    """Sums the arrays of all processes; every process gets the sum.

    The arrays have the same shape and a dtype of eight bytes.
    """
    if jax.process_count() == 1:
        return array
    wait_for_all("sum")  # common computations have a time limit
    rows = max(1, _SUM_BYTES // max(1, array[:1].nbytes * jax.process_count()))
    parts = []
    for start in range(0, len(array), rows):
        words = np.ascontiguousarray(array[start : start + rows]).view(np.uint32)
        # `process_allgather` has no 64-bit dtypes.
        words = np.asarray(multihost_utils.process_allgather(words))
        parts.append(words.view(array.dtype).sum(axis=0))
    return np.concatenate(parts)


_SUM_BYTES = 2**26
"""Number of bytes that are gathered at a time."""


def check_shared(folder: pathlib.Path) -> None:
    """Raises a UserError in every process if `folder` is not the same for all."""
    if jax.process_count() == 1:
        return
    mark = folder / told_by_all(f".shared.{uuid.uuid4().hex}")[0]
    with main_process_first():
        if is_main_process():
            files.write_text(mark, "")
    try:
        # Listing the folder makes a network file system refresh it.
        is_there = folder.is_dir() and mark.name in os.listdir(folder)
        answers = told_by_all(is_there)
    finally:
        if is_main_process():
            mark.unlink(missing_ok=True)
    if not all(answers):
        time.sleep(1)  # an interrupted first process removes its mark, then says so
        _check_others()
        raise UserError(
            f"{folder} is another folder for process {answers.index(False)} than for "
            "the first one; all need the same, on a shared file system."
        )


_meeting_numbers = itertools.count()
"""Numbers the meetings of processes: the n-th of each process is the same meeting."""

_POLL_SECONDS = 0.2
_BARRIER_SECONDS = 30
_ENDING_SECONDS = 1  # JAX aborts a process that has not ended when the store ends


def _client():
    """JAX's client for the key-value store that the first process hosts.

    Waiting in a computation on devices would end at XLA's time limits: 30 seconds for
    the first computation on CPUs, minutes on GPUs. JAX has no public API for the store.
    """
    return distributed.global_state.client


def _exchange(name: str, text: str) -> list[str]:
    """Shares `text` with all processes; returns the texts of all, by process."""
    name = f"{name}/{next(_meeting_numbers)}"
    _client().key_value_set(f"{name}/{jax.process_index()}", text)
    texts = [
        _wait_for_value(f"{name}/{process}") for process in range(jax.process_count())
    ]
    _client().key_value_set(f"{name}/read/{jax.process_index()}", "")
    if is_main_process():  # the store ends with this process: all must have read
        for process in range(jax.process_count()):
            _wait_for_value(f"{name}/read/{process}")
    return texts


def _wait_for_value(name: str) -> str:
    """Waits for a key of the store and returns its value.

    It polls, because a call that waits inside JAX would not react to Ctrl-C. When
    another process ends, JAX ends this one.
    """
    while (value := _try_get(name)) is None:
        _check_others()
        time.sleep(_POLL_SECONDS)
    return value


def _try_get(name: str) -> str | None:
    """Returns the value of a key; None if it is not set."""
    try:
        return _client().key_value_try_get(name)
    except jax.errors.JaxRuntimeError as error:
        if "NOT_FOUND" not in str(error):
            raise
    return None


def _barrier(name: str) -> None:
    """Waits up to 30 s until every process is here, then returns in any case."""
    with contextlib.suppress(jax.errors.JaxRuntimeError):
        _client().wait_at_barrier(name, _BARRIER_SECONDS * 1000)


def leave() -> None:
    """Disconnects after a barrier, so that no process is reported as lost."""
    if jax.process_count() > 1:
        jax.distributed.shutdown()


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether a computation failed because another process has ended.

    A device that ran out of memory does not count.
    """
    is_jax = isinstance(error, jax.errors.JaxRuntimeError)
    is_full = "RESOURCE_EXHAUSTED" in str(error)
    return jax.process_count() > 1 and is_jax and not is_full


def any_process(flag: bool) -> bool:
    """Whether `flag` is set in any process; all must call this at the same step."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))
