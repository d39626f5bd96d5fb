"""The runs of a folder that the rows of a table are measured by."""

import dataclasses
import pathlib
from collections.abc import Iterable

from ml_collections import config_dict

from configs import base
from reid_jax.errors import UserError
from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.tables import plans as table_plans
from reid_jax.tables.plans import Plan

_LENGTH = ("train.epochs", "train.max_steps")
_MAY_DIFFER = ("seed", "init_from", "data.name", "data.mixture")
_MAY_DIFFER += tuple(f for f in run_folder.MAY_CHANGE if f not in _LENGTH)


@dataclasses.dataclass(frozen=True)
class Runs:
    """The finished runs below a folder; `left_out` says which others are there, why."""

    folder: pathlib.Path
    configs: dict[pathlib.Path, config_dict.ConfigDict]
    left_out: list[str]

    def of(self, plan: Plan) -> dict[int, pathlib.Path]:
        """Seed → workdir of those trained as planned; of one seed the first by name."""
        found = {}
        for workdir, config in self.configs.items():
            if self._is_of(plan, config):
                found.setdefault(config.seed, workdir)
        return dict(sorted(found.items()))

    def doubled(self, plan: Plan) -> list[pathlib.Path]:
        """Those of `plan` that `of` leaves out: another one has their seed."""
        used = set(self.of(plan).values())
        alike = [w for w, config in self.configs.items() if self._is_of(plan, config)]
        return [workdir for workdir in alike if workdir not in used]

    def _is_of(self, plan: Plan, config) -> bool:
        return (
            not run_folder.changes(config, plan.config, _MAY_DIFFER)
            and _whole_datasets(config) == _whole_datasets(plan.config)
            and self._starts_as(plan, config)
        )

    def _starts_as(self, plan: Plan, config) -> bool:
        """From a run of `plan.first`, or from a file or nothing as planned."""
        if plan.first is None:
            return bool(config.init_from) == bool(plan.config.init_from)
        if not config.init_from:
            return False
        start = pathlib.Path(config.init_from).resolve()
        return any(
            workdir.resolve() == start and self._is_of(plan.first, own)
            for workdir, own in self.configs.items()
        )


def read(folder: pathlib.Path) -> Runs:
    """Every run below a folder, which may not be there yet.

    Raises UserError where it is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--runs={folder} is no folder.")
    configs, left_out = {}, []
    for path in sorted(folder.glob("**/config.json")):
        workdir = path.parent
        try:
            config = run_folder.load_config(workdir)
        except run_folder.WorkdirError as error:
            left_out.append(str(error))
            continue
        if not run_folder.is_finished(workdir):
            left_out.append(f"{workdir} is not finished.")
        elif checkpoints.Checkpoints(workdir).latest_step() is None:
            left_out.append(f"{workdir} holds no checkpoint.")
        else:
            configs[workdir] = config
    return Runs(folder, configs, left_out)


def _whole_datasets(config) -> list[str]:
    return [base.whole_dataset(name) for name in table_plans.trained_on(config)]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A run to be trained; `start` is the one it begins with, if that is there."""

    plan: Plan
    seed: int
    folder: pathlib.Path
    start: pathlib.Path | None

    @property
    def workdir(self) -> pathlib.Path:
        return self.plan.workdir(self.folder, self.seed)

    @property
    def config(self) -> config_dict.ConfigDict:
        return self.plan.of_seed(self.folder, self.seed, self.start)

    @property
    def command(self) -> str:
        return self.plan.command(self.folder, self.seed, self.start)


def lacking(plans: Iterable[Plan], runs: Runs, num_seeds: int) -> list[Wanted]:
    """Each run of seeds 0, 1, … that the plans have not yet, once.

    What others start from comes first.
    """
    wanted = {}
    for plan in plans:
        there = runs.of(plan)
        starts = {} if plan.first is None else runs.of(plan.first)
        for seed in range(num_seeds):
            if seed in there:
                continue
            start = starts.get(seed)
            if plan.first is not None and start is None:
                first = Wanted(plan.first, seed, runs.folder, None)
                wanted.setdefault(first.workdir, first)
            own = Wanted(plan, seed, runs.folder, start)
            wanted.setdefault(own.workdir, own)
    return list(wanted.values())


def number(plans: Iterable[Plan], num_seeds: int) -> int:
    """Of all runs that the plans need, there or not."""
    return len(lacking(plans, Runs(pathlib.Path(), {}, []), num_seeds))
