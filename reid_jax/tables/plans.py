"""What the rows of the papers' tables need: configs, starts, commands."""

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

PRESETS = {"paper": None, "small": "walkers/street_small"}
"""Sizes of a study, each with the dataset that stands in for MARS."""

_STAND_INS = {
    "prid2011/all0": "walkers/outdoor",
    "ilids_vid/split0": "walkers/hall",
    "p_destre/seeded0": "walkers/aerial",
    "mars": "walkers/street_small",
}
"""What the small preset has in place of paper 2's datasets."""

_WEIGHTS = {
    "resnet50": "resnet50-19c8e357.pth",
    "resnet3d50": "resnet-50-kinetics.pth",
    "c3d": "c3d.pickle",
}
"""The published weights that the papers start from: docs/weights.md."""

_RNN = ("lstm", "gru")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One row of a table: how its runs are trained and on what they are scored."""

    row: Row
    config_file: str  # configs/rnn.py:T=8
    config: config_dict.ConfigDict
    dataset: str  # that it is scored on
    first: "Plan | None" = None  # whose run its own start from

    def of_seed(
        self, runs: pathlib.Path, seed: int, start: pathlib.Path | None = None
    ) -> config_dict.ConfigDict:
        """The config of one of its runs; `start` is the run of `first` it begins with,
        by itself the one that `first`'s command trains."""
        config = self.config.copy_and_resolve_references()
        config.seed = seed
        # Repetitions of the papers draw other halves of the persons.
        config.data.name = _of_split(config.data.name, seed)
        config.data.mixture = tuple(_of_split(n, seed) for n in config.data.mixture)
        if self.first is not None:
            config.init_from = str(start or self.first.workdir(runs, seed))
        return config

    def of_scores(self, run: config_dict.ConfigDict) -> config_dict.ConfigDict:
        """The config that scores a run of this row, whatever the run's own scores."""
        config = run.copy_and_resolve_references()
        own = (n for n in trained_on(run) if _are_of_one(n, self.dataset))
        config.data.name = next(own, self.dataset)  # in the split it was not trained on
        config.eval = self.config.eval.copy_and_resolve_references()
        config.eval.update(batch_clips=run.eval.batch_clips, baselines=False)
        config.update_from_flattened_dict(_of(self.row, training=False))
        return config

    def command(
        self, runs: pathlib.Path, seed: int, start: pathlib.Path | None = None
    ) -> str:
        """What trains one of its runs."""
        usual = run_folder.flat(load_config(self.config_file))
        config = run_folder.flat(self.of_seed(runs, seed, start))
        parts = ["python", "train.py", f"--config={self.config_file}"]
        parts += [
            f"--config.{field}={value}"
            for field, value in config.items()
            if value != usual[field]
        ]
        return shlex.join([*parts, f"--workdir={self.workdir(runs, seed)}"])

    def workdir(self, runs: pathlib.Path, seed: int) -> pathlib.Path:
        """Where `command` trains it."""
        names = [_of_split(name, seed) for name in trained_on(self.config)]
        place = "-".join(names).replace("/", "_")
        name = variants.slug(self.config_file)
        steps = self.row.overrides.get("train.max_steps")
        untrained = "" if steps is None else f"-steps-{steps}"
        return runs / f"{name}{untrained}-{place}-seed-{seed}"


def trained_on(config) -> Sequence[str]:
    """The names of the datasets that a config trains on."""
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
    """A plan for each row of the table that is measured.

    `dataset` takes the place of MARS, `preset` "small" of the papers' sizes, `source`
    is `config.data.source`. `weights` is the folder of the pretrained ones that the
    papers' sizes start from. `overrides` are fields that all configs get.
    Raises UserError for an unknown table or preset, and where there is no MARS.
    """
    table = known(number)
    if preset not in PRESETS:
        raise UserError(f"--preset={preset} is unknown; known: {', '.join(PRESETS)}.")
    if dataset and source == "files":  # the renderer's needs no TensorFlow
        from data import prepare

        prepare.find_builder(dataset, "")  # known?
    is_small = preset == "small"

    def planned(row: Row) -> Plan:
        scored_on, starts_from = row.dataset or table.dataset, row.starts_from
        file = f"configs/{row.config}"
        if is_small and table.paper == tables.P2:
            file, scored_on = f"{file}:walkers", _STAND_INS[scored_on]
        elif is_small:
            file += ("," if ":" in file else ":") + "preset=small"
            scored_on = PRESETS[preset]
        if dataset and scored_on in ("mars", PRESETS["small"]):
            scored_on = dataset
        config = load_config(file)
        config.update_from_flattened_dict(_of(row, training=True))
        config.data.source = source
        if not config.data.mixture:
            config.data.name = scored_on
        if not is_small:
            config.init_from = f"{weights}/{_WEIGHTS[config.model.backbone]}"
        elif config.model.temporal in _RNN:
            starts_from = variants.RNN_START
        config.update_from_flattened_dict(dict(overrides or {}))
        config_checks.check_config(config)
        if "," in config.eval.metric:
            raise UserError(
                f"config.eval.metric={config.eval.metric}: a table is by one metric."
            )
        first = None
        if starts_from:
            first = planned(Row(row.name, row.paper, starts_from, dataset=row.dataset))
        return Plan(row, file, config, scored_on, first)

    found = [
        planned(row)
        for row in table.rows
        if row.config and not (is_small and is_only_weights(row))
    ]
    if dataset and all(plan.dataset != dataset for plan in found):
        raise UserError(
            f"--dataset={dataset} takes the place of MARS, and table {number} has none."
        )
    return found


def is_only_weights(row: Row) -> bool:
    """Whether it scores published weights as they are: nothing for the small preset."""
    return row.config == "c3d.py"


def _of(row: Row, *, training: bool) -> dict[str, object]:
    """The overrides of a row that its runs have, or those of their scores."""
    fields = row.overrides.items()
    return {k: v for k, v in fields if k.startswith("eval.") != training}


def _are_of_one(name: str, other: str) -> bool:
    return base.whole_dataset(name) == base.whole_dataset(other)


def _of_split(dataset: str, number: int) -> str:
    """That of a number, where the dataset is split 0 of several of the same persons."""
    is_split = base.whole_dataset(dataset) != dataset
    return re.sub("0$", str(number), dataset) if is_split else dataset


def known(number: str) -> Table:
    """The table; UserError with the known ones."""
    if number not in tables.TABLES:
        listed = ", ".join(tables.TABLES)
        raise UserError(f"--table={number} is unknown; known: {listed}.")
    return tables.TABLES[number]


def load_config(config_file: str) -> config_dict.ConfigDict:
    """The config of "configs/rnn.py:cell=gru"."""
    file, _, variant = config_file.partition(":")
    name = pathlib.PurePath(file).with_suffix("").as_posix().replace("/", ".")
    module = importlib.import_module(name)
    return module.get_config(variant) if variant else module.get_config()
