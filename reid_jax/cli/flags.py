"""Starts a program: reads its flags, and prints errors in them as one line."""

import os
import pathlib
from collections.abc import Callable, Iterator

import jax
from absl import app, flags

from configs import base
from reid_jax.cli import arguments, ending, processes


def run(main: Callable[[], None], define_flags: Callable[[], None]) -> None:
    """Defines and parses flags, runs `main`, and ends the program by `ending`.

    The exit status is 0 when done, 1 for an error, and 2 for invalid flags. With
    --verbosity=1, errors show their traceback.
    """
    ending.quieten()
    ending.guard(
        lambda: app.run(
            lambda argv: _run(main, argv),
            flags_parser=lambda argv: _parse(argv, define_flags),
        )
    )


def _parse(argv: list[str], define_flags: Callable[[], None]) -> list[str]:
    for value in arguments.values_of(argv[1:], "config"):
        file = value.partition(":")[0]
        if not os.path.isfile(file):
            files = sorted(pathlib.Path("configs").glob("[!_]*.py"))
            config_files = [str(f) for f in files if "def get_config(" in f.read_text()]
            message = f"no config file {file!r}; there are: {', '.join(config_files)}."
            ending.fail(message, status=2)
    try:
        define_flags()  # config flags read the arguments here already
        return flags.FLAGS(argv)
    except (ImportError, SyntaxError) as error:
        ending.fail(f"the config file cannot be read: {error}", status=2)
    except (flags.Error, LookupError, AttributeError, TypeError, ValueError) as error:
        ending.fail(_unknown_field(argv) or _one_line(error), status=2)


def _unknown_field(argv: list[str]) -> str | None:
    """Describes the first `--config.a.b` that is no field of the config, or None."""
    for argument in argv[1:]:
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


def _run(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        message = f"unknown argument {argv[1]!r}; flags look like --name=value."
        ending.fail(message, status=2)
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
