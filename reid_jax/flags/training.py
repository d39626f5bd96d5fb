"""Defines the flags of train.py."""

from absl import flags
from ml_collections import config_flags

from reid_jax.cli import processes
from reid_jax.flags import tables

flags.disclaim_key_flags()  # they belong to the program


def define() -> None:
    """Defines the flags."""
    config_flags.DEFINE_config_file(
        "config",
        "configs/base.py" if tables.are_asked() else None,
        "A file of configs/; its fields are set by --config.x=y.",
    )
    flags.DEFINE_string(
        "workdir", None, "Folder of the run; runs/<name of the config file> by default."
    )
    flags.DEFINE_integer("seeds", 1, "With --table: runs of each row.", 1)
    tables.define()
    processes.define()
