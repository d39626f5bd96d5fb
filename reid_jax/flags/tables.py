"""The flags that go with `--table`, shared by train.py and evaluate.py."""

import sys
from typing import Any

from absl import flags
from ml_collections import config_flags

from configs import tables
from reid_jax.cli import arguments as cli_arguments
from reid_jax.errors import UserError
from reid_jax.input import source as sources

flags.disclaim_key_flags()  # they belong to the program


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_enum("table", None, list(tables.TABLES), "A table of the papers.")
    flags.DEFINE_string("runs", "runs", "With --table: folder of all workdirs.")
    flags.DEFINE_string(
        "dataset", None, "With --table: dataset to use instead of MARS."
    )
    flags.DEFINE_enum(
        *("preset", "paper", list(tables.PRESETS)),
        "With --table: sizes of the papers, or small ones for two CPU cores.",
    )
    flags.DEFINE_enum(
        "source", "files", list(sources.SOURCES), "With --table: config.data.source."
    )
    flags.DEFINE_string(
        "weights", "weights", "With --table: folder of pretrained weights."
    )


def are_asked() -> bool:
    """Whether the command line, which is not parsed yet, has `--table`."""
    return any(True for _ in cli_arguments.values_of(sys.argv[1:], "table"))


def settings(*conflicting: str) -> dict[str, Any]:
    """Keyword arguments of `tables.plans.plans` from the flags.

    `--config.field=value` becomes an override of all runs of the table.

    Raises:
        UserError: one of the flags `conflicting` is set too, or a config field that
            rows set.
    """
    parsed = flags.FLAGS
    for name in conflicting:
        if parsed[name].present:
            raise UserError(f"--{name} and --table do not go together.")
    overrides = config_flags.get_override_values(parsed["config"])
    for field, advice in _ROW_FIELDS.items():
        if field in overrides:
            raise UserError(
                f"--config.{field} is set by each row of the table: {advice}."
            )
    names = ("dataset", "preset", "source", "weights")
    return {name: parsed[name].value for name in names} | {"overrides": overrides}


_ROW_FIELDS = {
    "data.name": "--dataset takes the place of MARS",
    "data.mixture": "--seeds trains on other splits",
    "data.source": "use --source",
    "seed": "use --seeds",
    "init_from": "use --weights",
}
"""Config field that the rows of a table set → what to use instead."""


def refuse_without_table(*others: str) -> None:
    """Raises UserError where a flag of `--table`, or one of `others`, is set."""
    for name in ("runs", "dataset", "preset", "source", "weights", *others):
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} belongs to --table.")
