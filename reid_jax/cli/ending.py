"""How a program ends: in one line, by the signal that stopped it, or with a traceback.

Imports nothing that takes time, so that a program can call `die_on_ctrl_c` first.
"""

import contextlib
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Iterable, Iterator

from reid_jax import files
from reid_jax.errors import UserError


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds the stack as Ctrl-C does."""


def die_on_ctrl_c() -> None:
    """Lets Ctrl-C end the process without a traceback until `guard` takes over.

    A program calls it before its other imports, which take seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def guard(function: Callable[[], None]) -> None:
    """Runs `function`; Ctrl-C and SIGTERM unwind it and end the process in one line.

    The process ends by the signal itself (130 and 143 in a shell), so that a shell's
    loop ends too. The handlers from before are put back when `function` returns.
    """
    handlers = {signal.SIGTERM: _terminate, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, h) for number, h in handlers.items()}
    try:
        function()
    except Terminated:
        _end_by(signal.SIGTERM, "terminated.")
    except KeyboardInterrupt:
        _end_by(signal.SIGINT, "interrupted.")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def one_line_errors(given: Iterable[object], *, program: str = "") -> Iterator[None]:
    """Ends the process in one line, status 1, for what the user can mend.

    That is a `UserError`, a full disk, and an `OSError` of a file that is one of
    `given` or below one of them: the values of the flags and of the config. Anything
    else is a fault and keeps its traceback.
    """
    try:
        yield
    except UserError as error:
        fail(error, status=1, program=program)
    except OSError as error:
        if not (files.is_full_error(error) or _is_below(error.filename, given)):
            raise
        fail(error, status=1, program=program)


def _is_below(file: object, given: Iterable[object]) -> bool:
    """Whether `file` is one of the paths among `given`, or in one of these folders."""
    if not isinstance(file, str | os.PathLike):
        return False
    path = pathlib.Path(file).absolute()
    folders = (os.fspath(v) for v in given if v and isinstance(v, str | os.PathLike))
    return any(path.is_relative_to(pathlib.Path(f).absolute()) for f in folders)


def fail(error: object, status: int, *, program: str = "") -> None:
    """Prints one message and ends the process at once.

    Threads of JAX and TensorFlow may still run. An interpreter that shuts down beside
    them can crash, so it does not get to.
    """
    _print_message(error, program)
    os._exit(status)


def quieten() -> None:
    """Keeps TensorFlow and absl from logging what is no error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    from absl import logging

    logging.set_verbosity(logging.ERROR)


def _terminate(number, frame) -> None:
    raise Terminated


def _end_by(number: signal.Signals, message: str) -> None:
    _print_message(message)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _print_message(message: object, program: str = "") -> None:
    program = program or os.path.basename(sys.argv[0])
    print(f"{program}: {message}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
