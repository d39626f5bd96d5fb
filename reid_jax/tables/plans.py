"""Plans of the tables' rows: config, the run to start from, command line."""

import dataclasses
import importlib
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import config_dict

from configs import base, tables, variants
from configs.tables import Row, Table
from reid_jax import config_checks
from reid_jax.errors import UserError
from reid_jax.runs import folder as run_folder

_SMALL_DATASETS = {
    "prid2011/all0": "walkers/outdoor",
    "ilids_vid/split0": "walkers/hall",
    "p_destre/seeded0": "walkers/aerial",
    "mars": "walkers/street_small",
}
"""Dataset of paper 2 → the rendered dataset that the small preset uses instead."""

_PRETRAINED = {
    "resnet50": "resnet50-19c8e357.pth",
    "resnet3d50": "resnet-50-kinetics.pth",
    "c3d": "c3d.pickle",
}
"""Backbone → file of published weights that the papers start from (docs/weights.md)."""

_RNN_CELLS = ("lstm", "gru")


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of one row of a table: how its runs are trained, and where they are scored.

    Attributes:
        row: The row of the paper's table.
        config_file: Name of its config, as configs/rnn.py:T=8.
        config: That config with everything that the plan changes.
        dataset: The dataset that its runs are scored on.
        first: Plan of the runs that this row's runs start from; None: they start from
            weights, or from nothing.
    """

    row: Row
    config_file: str
    config: config_dict.ConfigDict
    dataset: str
    first: "Plan | None" = None

    def training_config(
        self, runs: pathlib.Path, seed: int, start: pathlib.Path | None = None
    ) -> config_dict.ConfigDict:
        """The config that trains the run of `seed`.

        Args:
            runs: Folder of all workdirs.
            seed: Seed of the run, and number of its split where the dataset has
                several.
            start: Run of `first` to start from; by default the one that `first`'s
                command trains.
        """
        config = self.config.copy_and_resolve_references()
        config.seed = seed
        # The papers repeat a run on other halves of the persons.
        config.data.name = _with_split(config.data.name, seed)
        config.data.mixture = tuple(_with_split(n, seed) for n in config.data.mixture)
        if self.first is not None:
            config.init_from = str(start or self.first.workdir(runs, seed))
        return config

    def scoring_config(self, run: config_dict.ConfigDict) -> config_dict.ConfigDict:
        """The config that scores a run of this row, from the one that trained it.

        Fields of `eval` come from the plan, not from the run.
        """
        config = run.copy_and_resolve_references()
        training_datasets = (
            n for n in trained_on(run) if _share_persons(n, self.dataset)
        )
        # The split that the run was trained on: its test persons are new to the run.
        config.data.name = next(training_datasets, self.dataset)
        config.eval = self.config.eval.copy_and_resolve_references()
        config.eval.update(batch_clips=run.eval.batch_clips, baselines=False)
        config.update_from_flattened_dict(_row_overrides(self.row, training=False))
        return config

    def command(
        self, runs: pathlib.Path, seed: int, start: pathlib.Path | None = None
    ) -> str:
        """The command line that trains the run of `seed`."""
        defaults = run_folder.flat(load_config(self.config_file))
        config = run_folder.flat(self.training_config(runs, seed, start))
        parts = ["python", "train.py", f"--config={self.config_file}"]
        parts += [
            f"--config.{field}={value}"
            for field, value in config.items()
            if value != defaults[field]
        ]
        return shlex.join([*parts, f"--workdir={self.workdir(runs, seed)}"])

    def workdir(self, runs: pathlib.Path, seed: int) -> pathlib.Path:
        """The workdir that `command` trains the run of `seed` in."""
        datasets = [_with_split(name, seed) for name in trained_on(self.config)]
        dataset = "-".join(datasets).replace("/", "_")
        name = variants.slug(self.config_file)
        steps = self.row.overrides.get("train.max_steps")
        steps_suffix = "" if steps is None else f"-steps-{steps}"
        return runs / f"{name}{steps_suffix}-{dataset}-seed-{seed}"


def trained_on(config) -> Sequence[str]:
    """Names of the datasets that a config trains on."""
    return config.data.mixture or (config.data.name,)


def plans(
    number: str,
    *,
    dataset: str | None = None,
    preset: str = "paper",
    source: str = "files",
    weights: str = "weights",
    overrides: Mapping[str, Any] | None = None,
) -> list[Plan]:
    """Plans of the rows of a table that are measured here, in the table's order.

    Args:
        number: A key of `configs.tables.TABLES`.
        dataset: Dataset to use instead of MARS.
        preset: "paper", or "small" for two CPU cores.
        source: `config.data.source` of all runs.
        weights: Folder of the pretrained weights that preset "paper" starts from.
        overrides: Config fields to set in all runs.

    Raises:
        UserError: for an unknown table, preset or dataset, and for `dataset` where the
            table has no MARS.
    """
    table = find_table(number)
    if preset not in tables.PRESETS:
        known = ", ".join(tables.PRESETS)
        raise UserError(f"--preset={preset} is unknown; known: {known}.")
    if dataset and source == "files":  # a rendered world has no builder
        from data import prepare

        prepare.find_builder(dataset, "")  # fail now if the dataset is unknown
    is_small = preset == "small"

    def plan_row(row: Row) -> Plan:
        scored_on, starts_from = row.dataset or table.dataset, row.starts_from
        file = f"configs/{row.config}"
        if is_small and table.paper == tables.P2:
            file, scored_on = f"{file}:walkers", _SMALL_DATASETS[scored_on]
        elif is_small:
            file += ("," if ":" in file else ":") + "preset=small"
            scored_on = tables.PRESETS[preset]
        if dataset and scored_on in ("mars", tables.PRESETS["small"]):
            scored_on = dataset
        config = load_config(file)
        config.update_from_flattened_dict(_row_overrides(row, training=True))
        config.data.source = source
        if not config.data.mixture:
            config.data.name = scored_on
        if not is_small:
            config.init_from = f"{weights}/{_PRETRAINED[config.model.backbone]}"
        elif config.model.temporal in _RNN_CELLS:
            starts_from = variants.RNN_START
        config.update_from_flattened_dict(dict(overrides or {}))
        config_checks.check_config(config)
        if "," in config.eval.metric:
            raise UserError(
                f"config.eval.metric={config.eval.metric}: a table is by one metric."
            )
        first = None
        if starts_from:
            first = plan_row(Row(row.name, row.paper, starts_from, dataset=row.dataset))
        return Plan(row, file, config, scored_on, first)

    row_plans = [
        plan_row(row)
        for row in table.rows
        if row.config and not (is_small and is_only_weights(row))
    ]
    if dataset and all(plan.dataset != dataset for plan in row_plans):
        raise UserError(
            f"--dataset={dataset} takes the place of MARS, and table {number} has none."
        )
    return row_plans


def is_only_weights(row: Row) -> bool:
    """Whether a row scores published weights without training.

    The small preset has no such row, as no weights of its networks are published.
    """
    return row.config == "c3d.py"


def _row_overrides(row: Row, *, training: bool) -> dict[str, object]:
    """A row's overrides of training (all but `eval.…`), or those of scoring."""
    fields = row.overrides.items()
    return {k: v for k, v in fields if k.startswith("eval.") != training}


def _share_persons(name: str, other: str) -> bool:
    """Whether two dataset names are splits of the same persons."""
    return base.whole_dataset(name) == base.whole_dataset(other)


def _with_split(dataset: str, number: int) -> str:
    """`dataset` with split `number` instead of 0; unchanged where it has no splits.

    Only datasets whose splits share persons have numbers to change.
    """
    is_split = base.whole_dataset(dataset) != dataset
    return re.sub("0$", str(number), dataset) if is_split else dataset


def find_table(number: str) -> Table:
    """The table of this number; UserError with the known numbers if there is none."""
    if number not in tables.TABLES:
        listed = ", ".join(tables.TABLES)
        raise UserError(f"--table={number} is unknown; known: {listed}.")
    return tables.TABLES[number]


def load_config(config_file: str) -> config_dict.ConfigDict:
    """The config of a name such as configs/rnn.py:cell=gru."""
    file, _, variant = config_file.partition(":")
    name = pathlib.PurePath(file).with_suffix("").as_posix().replace("/", ".")
    module = importlib.import_module(name)
    return module.get_config(variant) if variant else module.get_config()
