"""Starts a program: reads its flags, and prints errors in them as one line.

A program calls `parse` before its slow imports, and `run` at its end: so --help and
mistakes in flags are answered at once.
"""

import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import jax
from absl import app, flags

from configs import base
from reid_jax.cli import arguments, ending, processes

# Flags that are defined here belong to the program that calls: --help shows them.
flags.disclaim_key_flags()


def parse(define_flags: Callable[[], None]) -> None:
    """Defines and parses the flags; ends the program for --help and invalid flags.

    The exit status is 2 for invalid flags, and 1 for --help, as absl has it.
    """
    ending.quieten()
    app.define_help_flags()
    for value in arguments.values_of(sys.argv[1:], "config"):
        file = value.partition(":")[0]
        if not os.path.isfile(file):
            files = sorted(pathlib.Path("configs").glob("[!_]*.py"))
            config_files = [str(f) for f in files if "def get_config(" in f.read_text()]
            message = f"no config file {file!r}; there are: {', '.join(config_files)}."
            ending.fail(message, status=2)
    try:
        define_flags()  # config flags read the arguments here already
        others = flags.FLAGS(sys.argv)[1:]
        _check_fields(flags.FLAGS.flag_values_dict().get("config"))
    except (ImportError, SyntaxError) as error:
        ending.fail(f"the config file cannot be read: {error}", status=2)
    except (flags.Error, LookupError, AttributeError, TypeError, ValueError) as error:
        ending.fail(_unknown_field() or _one_line(error), status=2)
    except Exception as error:  # the config file is a program of the user
        reason = f"{type(error).__name__}: {_one_line(error)}"
        ending.fail(f"the config file cannot be read: {reason}", status=2)
    if others:
        message = f"unknown argument {others[0]!r}; flags look like --name=value."
        ending.fail(message, status=2)


def _check_fields(config: object) -> None:
    """Raises a ValueError unless a config has all groups of configs/base.py."""
    if config is None:
        return
    fields = config if hasattr(config, "keys") else ()
    missing = [name for name in base.get_config() if name not in fields]
    if missing:
        raise ValueError(
            "get_config() must return the config of configs/base.py, with other "
            f"values; missing: {', '.join(missing)}."
        )


def _unknown_field() -> str | None:
    """Describes the first `--config.a.b` that is no field of the config, or None."""
    for argument in sys.argv[1:]:
        name = argument.partition("=")[0].lstrip("-")
        group, path = base.get_config(), "config"
        for part in name.split(".")[1:] if name.startswith("config.") else ():
            if not hasattr(group, "keys") or part not in group:
                names = ", ".join(group) if hasattr(group, "keys") else "no fields"
                return f"{path} has no field {part!r}; it has: {names}."
            group, path = group.get_oneway_ref(part).get(), f"{path}.{part}"
    return None


def _one_line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if "Traceback (most recent call last)" in text:  # an error inside of a config file
        text = text.strip().splitlines()[-1].partition(": ")[2]
    return " ".join(text.split())


def run(main: Callable[[], None]) -> None:
    """Runs `main`, after `parse`, and ends the program by `ending`.

    The exit status is 0 when done, and 1 for an error. With --verbosity=1, errors show
    their traceback.
    """
    # The flags are parsed; absl wants the name of the program and other arguments.
    ending.guard(
        lambda: app.run(lambda _: _run(main), flags_parser=lambda argv: argv[:1])
    )


def _run(main: Callable[[], None]) -> None:
    if flags.FLAGS.verbosity > 0:
        main()
        return
    with (
        processes.lost_peers_in_one_line(),
        ending.one_line_errors(_given_values()),
    ):
        main()


def _given_values() -> Iterator[object]:
    """Yields the values of all flags, and of all fields of config flags."""
    for value in flags.FLAGS.flag_values_dict().values():
        yield from jax.tree.leaves(
            value.to_dict() if hasattr(value, "to_dict") else value
        )
