"""Train a network on tracklets: python train.py --config=configs/attn_tconv.py

Resumes when the workdir holds a checkpoint, and ends with the score table.
--table=5 trains the runs that a table of the papers still needs (--seeds,
--preset=small).
"""

import signal

if __name__ == "__main__":  # so that Ctrl-C during the imports below ends quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from reid_jax.cli import flags as cli_flags
from reid_jax.flags import training as training_flags

if __name__ == "__main__":  # --help and mistakes end here, before the slow imports
    cli_flags.parse(training_flags.define)

import contextlib
import pathlib
import time

from absl import flags
from ml_collections import config_flags

import evaluate
from configs import variants
from reid_jax import config_checks, parallel, peers, steps
from reid_jax.cli import compile_cache, processes
from reid_jax.errors import UserError
from reid_jax.flags import tables as table_flags
from reid_jax.input import source as sources
from reid_jax.runs import folder as run_folder
from reid_jax.runs import start
from reid_jax.runs.checkpoints import Checkpoints
from reid_jax.runs.log import MetricLog, TrainProgress
from reid_jax.runs.meter import build_meter
from reid_jax.runs.profiler import Profiler
from reid_jax.runs.stop import StopOnSignal
from reid_jax.scoring import requirements
from reid_jax.scoring.training import build_scorer
from reid_jax.tables import plans as table_plans
from reid_jax.tables import runs as table_runs


def train(config, workdir: pathlib.Path, run: tuple[int, int] = (0, 1)) -> None:
    """Trains a network as `config` describes, and prints its score table at the end.

    Args:
        config: a config of configs/, complete.
        workdir: folder of the run.
        run: (number of this run, from 0; number of all runs). With several runs, a
            second progress bar counts them.

    Raises:
        KeyboardInterrupt: the run was interrupted; everything is saved.
    """
    # 1. Open the dataset; count the steps.
    config = config.copy_and_resolve_references()
    config_checks.check_config(config)
    peers.check_same(run_folder.flat(config), "configs")
    with peers.main_process_first():  # so that only one process builds the dataset
        source = sources.open_source(config)
        tracklets = source.training
        requirements.check_training(config, source)
    data = {"fingerprint": tracklets.fingerprint, "scored on": source.fingerprint}
    peers.check_same(data, "data")
    milestones = start.build_milestones(config, source.steps_per_epoch)

    # 2. Choose the devices; build the optimizer.
    mesh = parallel.data_mesh()
    parallel.check_divisible(config.data.p * config.data.k, mesh, "P*K")
    parallel.check_divisible(config.eval.batch_clips, mesh, "config.eval.batch_clips")
    schedule = steps.learning_rate_schedule(config, source.steps_per_epoch)
    optimizer = steps.build_optimizer(config, schedule)

    with contextlib.ExitStack() as resources:
        # 3. Build the network; restore its state from the newest checkpoint, if any.
        resources.enter_context(run_folder.opened(workdir, config, source))
        training = resources.enter_context(contextlib.ExitStack())
        stop = training.enter_context(StopOnSignal())
        saved = training.enter_context(contextlib.closing(Checkpoints(workdir, True)))
        graphdef, state, unlogged = start.build_state(
            config, workdir, saved, source.pids, optimizer, mesh
        )

        # 4. Compile the training step and the scoring; set up logging.
        train_step = steps.make_train_step(graphdef, optimizer, config)
        embed_step = steps.make_embed_step(graphdef, config)
        score = build_scorer(config, workdir, source, embed_step, mesh)
        first_step, num_steps = int(state.step), milestones.num_steps
        log = MetricLog(workdir if peers.is_main_process() else None, first_step)
        bar = TrainProgress(first_step, num_steps, run)
        profiler = Profiler(workdir, config.train.profile_steps)
        for closable in (log, bar, profiler):
            training.enter_context(contextlib.closing(closable))
        meter = build_meter(config, log, bar, schedule, num_steps, unlogged)

        # 5. Train until the last step or a signal; score and save on the way.
        batches = source.train_batches(first_step, mesh)
        with training:
            training.enter_context(contextlib.closing(batches))
            for step in range(first_step + 1, num_steps + 1):
                profiler.begin(step)
                state, metrics = train_step(state, next(batches))
                if profiler.end(step, metrics):
                    bar.print(f"trace of step {step} and before: {profiler.folder}")
                meter.add(step, metrics)
                is_stopped = stop.is_wanted(step)
                if milestones.is_saved(step) or is_stopped:
                    meter.check(state)
                    scores_of_step = None
                    try:
                        if milestones.is_scored(step):
                            scores_of_step = score(state.params, state.batch_stats)
                            meter.log_scores(step, scores_of_step, config.data.name)
                    finally:  # even when scoring fails, no step is lost
                        saved.save(state, scores_of_step, meter.unlogged)
                    meter.restart_clock()
                if is_stopped:
                    break
            if num_steps == 0:  # only the initial weights are scored
                saved.save(state)

        # 6. When interrupted, stop here: the same command resumes.
        if peers.any_process(stop.is_set) or int(state.step) < num_steps:
            print(
                f"Interrupted: step {int(state.step)} of {num_steps} is saved in "
                f"{workdir}. The same command continues from there."
            )
            peers.leave()
            raise stop.error
        if peers.is_main_process():
            run_folder.mark_finished(workdir, num_steps)

        # 7. Write the score table of each dataset, with its files and pictures.
        with peers.failure_told():
            for name in dict.fromkeys([config.data.name, *config.data.mixture]):
                config.data.name = name
                evaluate.evaluate(config, workdir)


def train_table(number: str, runs: pathlib.Path, num_seeds: int, **settings) -> None:
    """Trains the runs that a table of the papers still needs, one after the other.

    Args:
        number: of the table.
        runs: folder of all runs.
        num_seeds: runs for each row.
        **settings: arguments of `tables.plans.plans`.
    """
    plans = table_plans.plans(number, **settings)
    missing = table_runs.missing_runs(plans, table_runs.read(runs), num_seeds)
    total = table_runs.count_runs(plans, num_seeds)
    began = time.monotonic()
    for i, plan in enumerate(missing):
        run = (total - len(missing) + i, total)
        seconds_left = None
        if i > 0:
            seconds_left = (time.monotonic() - began) / i * (len(missing) - i)
        title = table_runs.title(run, plan.workdir, seconds_left)
        print(f"\n{title}", flush=True)
        train(plan.config, plan.workdir, run)


def main() -> None:
    compile_cache.enable()
    values = flags.FLAGS
    if values.table is not None:
        runs = pathlib.Path(values.runs)
        settings = table_flags.settings("config", "workdir", *processes.NAMES)
        train_table(values.table, runs, values.seeds, **settings)
        evaluate.print_table(values.table, runs, **settings)
        return
    table_flags.refuse_without_table("seeds")
    if values.config is None:
        raise UserError("--config=configs/NAME.py is needed; see configs/.")
    processes.connect(values.flag_values_dict())
    file = config_flags.get_config_filename(values["config"])
    workdir = pathlib.Path(values.workdir or f"runs/{variants.slug(file)}")
    train(values.config, workdir)
    evaluate.print_next(workdir)


if __name__ == "__main__":
    cli_flags.run(main)
