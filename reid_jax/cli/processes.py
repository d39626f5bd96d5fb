"""Flags of programs that run in several processes, and how they begin and end."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

from absl import flags

from reid_jax import parallel
from reid_jax.cli import ending

_FLAGS = {
    "coordinator": (
        str,
        "With several processes: host:port of number 0, or auto (SLURM, Cloud TPU).",
    ),
    "num_processes": (int, "How many there are."),
    "process_id": (int, "The number of this one, from 0."),
}
NAMES = tuple(_FLAGS)


def define() -> None:
    """Defines them for absl."""
    for name, (kind, text) in _FLAGS.items():
        make = flags.DEFINE_string if kind is str else flags.DEFINE_integer
        make(name, None, text)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Defines them for argparse."""
    for name, (kind, text) in _FLAGS.items():
        parser.add_argument(f"--{name}", type=kind, help=text)


def connect(values: Mapping[str, object]) -> None:
    """Joins the processes that the flags' `values` name; only the first one prints.

    Raises UserError as `parallel.connect`.
    """
    parallel.connect(*(values.get(name) for name in NAMES))
    is_alone = values.get("coordinator") is None  # nothing has to ask for devices yet
    if not is_alone and not parallel.is_main_process():  # which speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def joined(values: Mapping[str, object]) -> Iterator[None]:
    """Like `connect`; where the block fails in one process, it ends in all.

    For programs whose processes work apart most of the time.
    """
    connect(values)
    with parallel.failure_told():
        yield


@contextlib.contextmanager
def lost_peers_in_one_line(*, program: str = "") -> Iterator[None]:
    """Ends the process in one line where a computation lost another process."""
    try:
        yield
    except RuntimeError as error:
        if not parallel.is_lost_peer(error):
            raise
        reason = " ".join(str(error).split())[:200]
        ending.fail(
            f"another process of this run has ended ({reason}): see what it says. "
            "Start all of them again; train.py goes on from its last checkpoint.",
            status=1,
            program=program,
        )
