"""Finds the runs of a folder that belong to the rows of a table, and those missing."""

import dataclasses
import pathlib
from collections.abc import Iterable

from ml_collections import config_dict

from configs import base
from reid_jax import quantities
from reid_jax.errors import UserError
from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.tables import plans as table_plans
from reid_jax.tables.plans import Plan

_LENGTH_FIELDS = ("train.epochs", "train.max_steps")
_MAY_DIFFER = ("seed", "init_from", "data.name", "data.mixture")
_MAY_DIFFER += tuple(f for f in run_folder.MAY_CHANGE if f not in _LENGTH_FIELDS)


@dataclasses.dataclass(frozen=True)
class Runs:
    """The finished runs below a folder.

    Attributes:
        folder: The folder.
        configs: Config of each finished run, by workdir.
        left_out: A sentence for each other run: which, and why it does not count.
    """

    folder: pathlib.Path
    configs: dict[pathlib.Path, config_dict.ConfigDict]
    left_out: list[str]

    def workdirs(self, plan: Plan) -> dict[int, pathlib.Path]:
        """Seed → workdir of the runs that were trained as planned, sorted by seed.

        Among several runs with one seed, it is the first by name.
        """
        by_seed = {}
        for workdir, config in self.configs.items():
            if self._matches(plan, config):
                by_seed.setdefault(config.seed, workdir)
        return dict(sorted(by_seed.items()))

    def duplicates(self, plan: Plan) -> list[pathlib.Path]:
        """Runs of `plan` that `workdirs` leaves out, as another run has their seed."""
        chosen = set(self.workdirs(plan).values())
        matching = [
            w for w, config in self.configs.items() if self._matches(plan, config)
        ]
        return [workdir for workdir in matching if workdir not in chosen]

    def _matches(self, plan: Plan, config) -> bool:
        """Whether a run with this config was trained as planned."""
        return (
            not run_folder.changes(config, plan.config, _MAY_DIFFER)
            and _whole_datasets(config) == _whole_datasets(plan.config)
            and self._has_planned_start(plan, config)
        )

    def _has_planned_start(self, plan: Plan, config) -> bool:
        """Whether a run started as planned.

        That is from a run of `plan.first`, or else from a file or from nothing.
        """
        if plan.first is None:
            return bool(config.init_from) == bool(plan.config.init_from)
        if not config.init_from:
            return False
        start_dir = pathlib.Path(config.init_from).resolve()
        return any(
            workdir.resolve() == start_dir and self._matches(plan.first, start_config)
            for workdir, start_config in self.configs.items()
        )


def read(folder: pathlib.Path) -> Runs:
    """Reads the runs below a folder, which need not exist yet.

    Raises:
        UserError: `folder` is not a folder.
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
    """Datasets that a config trains on, without the names of their splits."""
    return [base.whole_dataset(name) for name in table_plans.trained_on(config)]


@dataclasses.dataclass(frozen=True)
class MissingRun:
    """A run that a plan needs and that is not trained yet.

    Attributes:
        plan: The plan it belongs to.
        seed: Its seed.
        folder: Folder of all workdirs.
        start: The trained run it starts from; None: it starts from none, or that one is
            missing too.
    """

    plan: Plan
    seed: int
    folder: pathlib.Path
    start: pathlib.Path | None

    @property
    def workdir(self) -> pathlib.Path:
        return self.plan.workdir(self.folder, self.seed)

    @property
    def config(self) -> config_dict.ConfigDict:
        return self.plan.training_config(self.folder, self.seed, self.start)

    @property
    def command(self) -> str:
        return self.plan.command(self.folder, self.seed, self.start)


def missing_runs(plans: Iterable[Plan], runs: Runs, num_seeds: int) -> list[MissingRun]:
    """Runs with seeds 0 … `num_seeds` - 1 that the plans still need, each once.

    A run that others start from comes before them.
    """
    missing = {}
    for plan in plans:
        trained = runs.workdirs(plan)
        starts = {} if plan.first is None else runs.workdirs(plan.first)
        for seed in range(num_seeds):
            if seed in trained:
                continue
            start = starts.get(seed)
            if plan.first is not None and start is None:
                start_run = MissingRun(plan.first, seed, runs.folder, None)
                missing.setdefault(start_run.workdir, start_run)
            run = MissingRun(plan, seed, runs.folder, start)
            missing.setdefault(run.workdir, run)
    return list(missing.values())


def count_runs(plans: Iterable[Plan], num_seeds: int) -> int:
    """Number of runs that the plans need with `num_seeds` seeds, trained or not."""
    return len(missing_runs(plans, Runs(pathlib.Path(), {}, []), num_seeds))


def title(
    run: tuple[int, int], workdir: pathlib.Path, seconds_left: float | None
) -> str:
    """Names a run before it is trained: its number among all runs, and the time left.

    `run` is the number, from 0, and the number of runs. `seconds_left` is the estimate
    for all missing runs; None: no estimate yet.
    """
    number, num_runs = run
    time_left = ""
    if seconds_left is not None:
        time_left = f" (about {quantities.duration(seconds_left)} left for all runs)"
    return f"run {number + 1} of {num_runs}: {workdir}{time_left}"
