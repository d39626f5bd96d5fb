"""Ends programs: errors in one line, or by the signal that stopped them.

Programs set SIGINT to SIG_DFL before their imports, which take seconds: so Ctrl-C ends
them without a traceback until `guard` takes over.
"""

import _thread
import contextlib
import logging
import os
import pathlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from reid_jax import files
from reid_jax.errors import UserError


class Terminated(KeyboardInterrupt):
    """Raised on SIGTERM, to unwind the stack as Ctrl-C does."""


def guard(function: Callable[[], None], *, program: str = "", note: str = "") -> None:
    """Runs `function`; on Ctrl-C or SIGTERM ends the process with one line of text.

    The stack is unwound first. The process then ends by the signal itself (status 130
    or 143 in a shell), so that a shell's loop ends too. When `function` returns, the
    previous handlers are restored.

    Args:
        function: the program.
        program: its name, at the beginning of the line; by default the script's name.
        note: end of the line.
    """
    handlers = {signal.SIGTERM: _terminate, signal.SIGINT: signal.default_int_handler}
    previous_handlers = {
        number: signal.signal(number, handler) for number, handler in handlers.items()
    }
    try:
        with _resending_lost_interrupts():
            function()
    except Terminated:
        _end_by(signal.SIGTERM, f"terminated{note}.", program)
    except KeyboardInterrupt:
        _end_by(signal.SIGINT, f"interrupted{note}.", program)
    except SystemExit as end:
        if isinstance(end.code, int) and end.code:
            _end_at_once(end.code)
        raise
    finally:
        for number, handler in previous_handlers.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)


_RESEND_SECONDS = 0.01


@contextlib.contextmanager
def _resending_lost_interrupts() -> Iterator[None]:
    """Sends a signal again when Python has dropped its KeyboardInterrupt.

    Python ignores exceptions in callbacks of its garbage collection (JAX has one) and
    in `__del__`; it only passes them to `sys.unraisablehook`. A signal is sent again
    until its exception is not dropped.
    """
    previous_hook = sys.unraisablehook

    def hook(unraisable) -> None:
        if not issubclass(unraisable.exc_type, KeyboardInterrupt):
            previous_hook(unraisable)
            return
        is_terminated = issubclass(unraisable.exc_type, Terminated)
        number = signal.SIGTERM if is_terminated else signal.SIGINT
        # Not threading.Thread: it needs locks that the interrupted code may hold.
        _thread.start_new_thread(_send_soon, (number,))

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous_hook


def _send_soon(number: signal.Signals) -> None:
    time.sleep(_RESEND_SECONDS)
    # To the main thread, so that it wakes up if it is waiting.
    signal.pthread_kill(threading.main_thread().ident, number)


@contextlib.contextmanager
def one_line_errors(given: Iterable[object], *, program: str = "") -> Iterator[None]:
    """Prints errors that the user can fix as one line; exits with status 1.

    These are: a `UserError`; a full disk; an `OSError` of a file that the user named,
    or below a folder that the user named; a JAX_PLATFORMS that this machine lacks.
    Anything else is a bug and keeps its traceback.

    Args:
        given: what the user named: the values of the flags and of the config.
        program: beginning of the line; by default the script's name.
    """
    try:
        yield
    except UserError as error:
        message = str(error)
    except OSError as error:
        names = (error.filename, error.filename2)
        if not (files.is_full_error(error) or _is_any_below(names, list(given))):
            raise
        message = str(error)
    except (AssertionError, RuntimeError):  # what JAX raises when it cannot start
        if not (message := _missing_platform()):
            raise
    else:
        return
    _print_message(message, program)
    raise SystemExit(1)


def _is_any_below(names: Iterable[object], given: Iterable[object]) -> bool:
    """Whether a file of `names` is one of the paths in `given`, or below one of them.

    A value of `given` may be several paths with commas between them.
    """
    path_types = (str, bytes, os.PathLike)
    texts = [os.fsdecode(value) for value in given if isinstance(value, path_types)]
    folders = {path for text in texts for path in (text, *text.split(",")) if path}
    return any(
        path.is_relative_to(folder)
        for name in names
        if isinstance(name, path_types)
        for path in _absolute_paths(os.fsdecode(name))
        for text in folders
        for folder in _absolute_paths(text)
    )


def _absolute_paths(path: str) -> set[pathlib.Path]:
    """Absolute forms of `path`: as written, and with links resolved."""
    return {pathlib.Path(os.path.abspath(path)), pathlib.Path(os.path.realpath(path))}


def _missing_platform() -> str | None:
    """Error text if JAX_PLATFORMS names a platform that JAX cannot use; else None.

    JAX is made to choose another platform for this, so only a process that is about to
    end may call it.
    """
    if not (jax := sys.modules.get("jax")) or not (value := jax.config.jax_platforms):
        return None
    with contextlib.suppress(AssertionError, RuntimeError):
        jax.devices()
        return None
    logging.getLogger("jax").setLevel(logging.ERROR)  # no warnings of unused platforms
    jax.config.update("jax_platforms", None)
    available = ", ".join(sorted({device.platform for device in jax.devices()}))
    return (
        f"JAX_PLATFORMS={value} asks for devices that JAX cannot use here; it can "
        f"use: {available}. Set JAX_PLATFORMS to one of these, or leave it out."
    )


def fail(error: object, status: int, *, program: str = "") -> None:
    """Prints one message and ends the process at once."""
    _print_message(error, program)
    _end_at_once(status)


def quieten() -> None:
    """Lets TensorFlow and absl log only errors, for the whole program."""
    quieten_tensorflow()
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)


def quieten_tensorflow() -> None:
    """Turns off TensorFlow's notices, before its import; the user's settings stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # its notice ignores the level


def _terminate(number, frame) -> None:
    raise Terminated


def _end_by(number: signal.Signals, message: str, program: str) -> None:
    for other in (signal.SIGINT, signal.SIGTERM):  # another signal ends it at once
        signal.signal(other, signal.SIG_DFL)
    _print_message(message, program)
    os.kill(os.getpid(), number)


def _end_at_once(status: int) -> None:
    """Ends the process without the interpreter's shutdown.

    That can crash while threads of JAX and TensorFlow still run.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _print_message(message: object, program: str) -> None:
    program = program or os.path.basename(sys.argv[0])
    sys.stdout.flush()  # so that earlier output comes before the message
    print(f"{program}: {message}", file=sys.stderr, flush=True)
