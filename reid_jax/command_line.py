"""How the programs start and end: flags in, one line out when something is wrong."""

import argparse
import os
import pathlib
import signal
import sys
from collections.abc import Callable

from absl import app, flags, logging


def run(main: Callable[[], None], define_flags: Callable[[], None]) -> None:
    """Define and parse flags, run `main`; what the user can mend ends in one line.

    Exit status: 0 when done, 1 for an error, 2 for flags that cannot be. Ctrl-C and
    SIGTERM end the process as their signals do (130 and 143 in a shell), so that a
    shell's loop ends too. With --verbosity=1 an error keeps its traceback.
    """
    quieten()
    guard(
        lambda: app.run(
            lambda argv: _run(main, argv),
            flags_parser=lambda argv: _parse(argv, define_flags),
        )
    )


def guard(function: Callable[[], None]) -> None:
    """Run `function`; Ctrl-C and SIGTERM unwind it, as errors do, and end in a line."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        function()
    except Terminated:
        _end_by(signal.SIGTERM, "terminated.")
    except KeyboardInterrupt:
        _end_by(signal.SIGINT, "interrupted.")


def parser(module: str, doc: str) -> argparse.ArgumentParser:
    """Of `python -m module`, with the module's docstring `doc` as its help."""
    usage, _, rest = doc.partition("\n\n")
    return argparse.ArgumentParser(
        f"python -m {module}",
        description=usage.partition(":")[0] + ".",
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def quieten() -> None:
    """Keep TensorFlow, where it is imported later, from talking about itself."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    logging.set_verbosity(logging.ERROR)


def fail(error: object, status: int) -> None:
    """Print one message and end the process at once.

    Threads of JAX and TensorFlow may still run; an interpreter that shuts down beside
    them can crash, so it does not get to.
    """
    _say(error)
    os._exit(status)


def _end_by(number: signal.Signals, message: str) -> None:
    _say(message)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _say(message: object) -> None:
    print(f"{os.path.basename(sys.argv[0])}: {message}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds as Ctrl-C does."""


def _terminate(number, frame) -> None:
    raise Terminated


def _parse(argv: list[str], define_flags: Callable[[], None]) -> list[str]:
    for name, _, value in (argument.partition("=") for argument in argv[1:]):
        file = value.partition(":")[0]
        if name.lstrip("-") == "config" and not os.path.isfile(file):
            files = sorted(pathlib.Path("configs").glob("[!_]*.py"))
            known = [str(f) for f in files if "def get_config(" in f.read_text()]
            fail(f"no config file {file!r}; there are: {', '.join(known)}.", status=2)
    try:
        define_flags()  # config flags already read the arguments here
        return flags.FLAGS(argv)
    except (ImportError, SyntaxError) as error:
        fail(f"the config file cannot be read: {error}", status=2)
    except (flags.Error, LookupError, AttributeError, TypeError, ValueError) as error:
        fail(_unknown_field(argv) or _one_line(error), status=2)


def _unknown_field(argv: list[str]) -> str | None:
    """Which `--config.a.b` names a field that no config has."""
    from configs import base

    for argument in argv[1:]:
        name = argument.partition("=")[0].lstrip("-")
        group, path = base.get_config(), "config"
        for part in name.split(".")[1:] if name.startswith("config.") else ():
            if not hasattr(group, "keys") or part not in group:
                known = ", ".join(group) if hasattr(group, "keys") else "no fields"
                return f"{path} has no field {part!r}; it has: {known}."
            group, path = group.get_oneway_ref(part).get(), f"{path}.{part}"
    return None


def _one_line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if "Traceback (most recent call last)" in text:  # of a config file's own error
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


def _run(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        fail(f"unknown argument {argv[1]!r}; flags look like --name=value.", status=2)
    try:
        main()
    except (ValueError, OSError, FloatingPointError) as error:
        if flags.FLAGS.verbosity > 0:
            raise
        fail(error, status=1)
    except RuntimeError as error:
        from reid_jax import parallel

        if flags.FLAGS.verbosity > 0 or not parallel.is_lost_peer(error):
            raise
        fail(
            f"another process of this run has ended ({_one_line(error)[:200]}): see "
            "what it says. Start all of them again to go on from the last checkpoint.",
            status=1,
        )
