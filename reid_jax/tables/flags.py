"""The flags of `--table`, which train.py and evaluate.py share."""

import sys
from typing import Any

from absl import flags
from ml_collections import config_flags

from configs import tables
from reid_jax.cli import arguments as cli_arguments
from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.tables import plans as table_plans


def define() -> None:
    flags.DEFINE_string(
        "table", None, f"A table of the papers: {', '.join(tables.TABLES)}."
    )
    flags.DEFINE_string("runs", "runs", "With --table: the folder of all workdirs.")
    flags.DEFINE_string("dataset", None, "With --table: what takes the place of MARS.")
    flags.DEFINE_enum(
        *("preset", "paper", list(table_plans.PRESETS)),
        "With --table: small is for two CPU cores.",
    )
    flags.DEFINE_enum(
        "source", "files", list(sources.SOURCES), "With --table: config.data.source."
    )
    flags.DEFINE_string(
        "weights", "weights", "With --table: the pretrained files' folder."
    )


def are_asked() -> bool:
    """Whether the arguments, not parsed yet, ask for a table."""
    return any(True for _ in cli_arguments.values_of(sys.argv[1:], "table"))


def settings(*others: str) -> dict[str, Any]:
    """What `table_plans.plans` takes; UserError where one of `others` is set too.

    `--config.field=value` are fields that every run of the table gets.
    """
    values = flags.FLAGS
    for name in others:
        if values[name].present:
            raise UserError(f"--{name} and --table do not go together.")
    overrides = config_flags.get_override_values(values["config"])
    for field, instead in _OF_ROWS.items():
        if field in overrides:
            raise UserError(f"--config.{field} is the rows' own: {instead}.")
    names = ("dataset", "preset", "source", "weights")
    return {name: values[name].value for name in names} | {"overrides": overrides}


_OF_ROWS = {
    "data.name": "--dataset takes the place of MARS",
    "data.mixture": "--seeds trains on other splits",
    "data.source": "use --source",
    "seed": "use --seeds",
    "init_from": "use --weights",
}


def refuse_without_table(*others: str) -> None:
    """Raise UserError where a flag of `--table`, or one of `others`, is set."""
    for name in ("runs", "dataset", "preset", "source", "weights", *others):
        if flags.FLAGS[name].present:
            raise UserError(f"--{name} belongs to --table.")
