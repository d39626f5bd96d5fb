"""How a program ends: in one line, by the signal that stopped it, or with a traceback.

Before its imports, which take seconds, a program sets SIGINT to SIG_DFL: then Ctrl-C
ends it without a traceback until `guard` takes over.
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
    """SIGTERM: unwinds the stack as Ctrl-C does."""


def guard(function: Callable[[], None], *, program: str = "", note: str = "") -> None:
    """Runs `function`; Ctrl-C and SIGTERM unwind it and end the process in one line.

    The process ends by the signal itself (130 and 143 in a shell), so that a shell's
    loop ends too. The handlers from before are put back when `function` returns.
    `program` begins that line and `note` ends it.
    """
    handlers = {signal.SIGTERM: _terminate, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, h) for number, h in handlers.items()}
    try:
        with _lost_interrupts_sent_again():
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
        for number, handler in before.items():
            if handler is not None:  # else it was not set from Python
                signal.signal(number, handler)


_SECONDS_UNTIL_SENT_AGAIN = 0.01


@contextlib.contextmanager
def _lost_interrupts_sent_again() -> Iterator[None]:
    """Sends the signal again whose KeyboardInterrupt was raised where it gets lost.

    Python ignores what is raised in a callback of its garbage collection (JAX has one)
    or in `__del__`, and hands it to `sys.unraisablehook`. If the interrupt is lost
    again, it is sent again.
    """
    before = sys.unraisablehook

    def hook(lost) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            before(lost)
            return
        is_terminated = issubclass(lost.exc_type, Terminated)
        number = signal.SIGTERM if is_terminated else signal.SIGINT
        # threading.Thread takes locks that the interrupted code may hold.
        _thread.start_new_thread(_send_soon, (number,))

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _send_soon(number: signal.Signals) -> None:
    time.sleep(_SECONDS_UNTIL_SENT_AGAIN)
    # To the main thread, so that it wakes if it waits for something.
    signal.pthread_kill(threading.main_thread().ident, number)


@contextlib.contextmanager
def one_line_errors(given: Iterable[object], *, program: str = "") -> Iterator[None]:
    """Turns what the user can mend into one line and exit status 1 (SystemExit).

    That is a `UserError`, a full disk, an `OSError` of a file that is one of `given` or
    below one of them (the values of the flags and of the config), and a JAX_PLATFORMS
    that is not here. Anything else is a fault and keeps its traceback.
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
    kinds = (str, bytes, os.PathLike)
    texts = [os.fsdecode(value) for value in given if isinstance(value, kinds)]
    folders = {part for text in texts for part in (text, *text.split(",")) if part}
    return any(
        path.is_relative_to(folder)
        for name in names
        if isinstance(name, kinds)
        for path in _places(os.fsdecode(name))
        for text in folders
        for folder in _places(text)
    )


def _places(path: str) -> set[pathlib.Path]:
    """`path` from the root, as it was written and with its links followed."""
    return {pathlib.Path(os.path.abspath(path)), pathlib.Path(os.path.realpath(path))}


def _missing_platform() -> str | None:
    """Which platform JAX was told to use and cannot; None where that is not the reason.

    JAX chooses its platform anew for this: only a process that ends may ask.
    """
    if not (jax := sys.modules.get("jax")) or not (asked := jax.config.jax_platforms):
        return None
    with contextlib.suppress(AssertionError, RuntimeError):
        jax.devices()
        return None
    logging.getLogger("jax").setLevel(logging.ERROR)  # it warns of what it passes over
    jax.config.update("jax_platforms", None)
    here = ", ".join(sorted({device.platform for device in jax.devices()}))
    return (
        f"JAX_PLATFORMS={asked} asks for devices that JAX cannot use here; it can use: "
        f"{here}. Set JAX_PLATFORMS to one of these, or leave it out."
    )


def fail(error: object, status: int, *, program: str = "") -> None:
    """Prints one message and ends the process at once."""
    _print_message(error, program)
    _end_at_once(status)


def quieten() -> None:
    """Keeps TensorFlow and absl from logging what is no error, in a whole program."""
    quieten_tensorflow()
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.ERROR)


def quieten_tensorflow() -> None:
    """Keeps TensorFlow, not imported yet, from printing notices; your settings stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # it prints one whatever level


def _terminate(number, frame) -> None:
    raise Terminated


def _end_by(number: signal.Signals, message: str, program: str) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):  # another one ends it at once
        signal.signal(each, signal.SIG_DFL)
    _print_message(message, program)
    os.kill(os.getpid(), number)


def _end_at_once(status: int) -> None:
    """Ends the process without the interpreter's own shutdown.

    Threads of JAX and TensorFlow may still run, and a shutdown beside them can crash.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _print_message(message: object, program: str) -> None:
    program = program or os.path.basename(sys.argv[0])
    sys.stdout.flush()  # comes before the message
    print(f"{program}: {message}", file=sys.stderr, flush=True)
