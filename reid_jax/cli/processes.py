"""Flags of programs that run in several processes, and their start and end."""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping

from absl import flags

from reid_jax import peers
from reid_jax.cli import ending

_FLAGS = {
    "coordinator": (
        str,
        "With several processes: host:port of process 0, or auto (SLURM, Cloud TPU).",
    ),
    "num_processes": (int, "Number of processes (with --coordinator)."),
    "process_id": (int, "Number of this process, from 0 (with --coordinator)."),
}
NAMES = tuple(_FLAGS)

flags.disclaim_key_flags()  # they belong to the program


def define() -> None:
    """Defines the flags for absl."""
    for name, (flag_type, text) in _FLAGS.items():
        define_flag = flags.DEFINE_string if flag_type is str else flags.DEFINE_integer
        define_flag(name, None, text)


def add_to(parser: argparse.ArgumentParser) -> None:
    """Defines the flags for argparse."""
    for name, (flag_type, text) in _FLAGS.items():
        parser.add_argument(f"--{name}", type=flag_type, help=text)


def connect(values: Mapping[str, object]) -> None:
    """Joins the processes that the flags name; only the first process prints.

    Raises:
        UserError: as `peers.connect`.
    """
    peers.connect(*(values.get(name) for name in NAMES))
    is_alone = values.get("coordinator") is None  # do not initialise devices yet
    if not is_alone and not peers.is_main_process():  # only that one prints
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def joined(values: Mapping[str, object]) -> Iterator[None]:
    """Like `connect`, and ends all processes if the block fails in one of them.

    For programs whose processes mostly work independently.
    """
    connect(values)
    with peers.failure_told():
        yield


@contextlib.contextmanager
def lost_peers_in_one_line(*, program: str = "") -> Iterator[None]:
    """Ends with a one-line error if a computation lost another process."""
    try:
        yield
    except RuntimeError as error:
        if not peers.is_lost_peer(error):
            raise
        reason = " ".join(str(error).split())[:200]
        ending.fail(
            f"another process of this run has ended ({reason}): see what it says. "
            "Start all of them again; train.py goes on from its last checkpoint.",
            status=1,
            program=program,
        )
