"""Defines the flags of evaluate.py."""

import sys

from absl import flags
from ml_collections import config_flags

from reid_jax.cli import processes
from reid_jax.flags import tables
from reid_jax.runs import folder as run_folder
from reid_jax.scoring import study_names

flags.disclaim_key_flags()  # they belong to the program


def define() -> None:
    """Defines the flags."""
    flags.DEFINE_string(
        "workdir", None, "Folder of the run; several, with commas, are averaged too."
    )
    config_flags.DEFINE_config_dict(
        "config",
        run_folder.config_of_arguments(sys.argv[1:]),
        "Fields to override, such as --config.x=y; the rest is from the workdir.",
    )
    flags.declare_key_flag("config")  # so that --help lists it
    flags.DEFINE_bool(
        "report",
        False,
        "Write report.html, a page without other files, and model_card.md.",
    )
    flags.DEFINE_enum(
        *("study", None, list(study_names.NAMES)),
        "Score under harder conditions instead.",
    )
    flags.DEFINE_list(
        "levels", [], "Levels of the study, such as 1,8,16; default: the usual ones."
    )
    flags.DEFINE_integer(
        "of_mixture",
        None,
        "Score this dataset of each run's config.data.mixture, counted from 0.",
        0,
    )
    flags.DEFINE_enum(
        "side",
        "both",
        list(study_names.SIDES),
        "Which side the study disturbs: query, gallery or both.",
    )
    tables.define()
    processes.define()
