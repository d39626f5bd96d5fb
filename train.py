"""Train a network on tracklets: python train.py --config=configs/attn_tconv.py

Resumes by itself when the workdir holds a checkpoint; ends with the score table.
--table=5 trains what a table of the papers still lacks (--seeds, --preset=small).
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import os
import pathlib
import sys
import threading
import time

import jax
from absl import flags
from flax import nnx
from ml_collections import config_flags

import evaluate
from configs import variants
from reid_jax import config_checks, files, parallel, steps
from reid_jax.cli import compile_cache, ending
from reid_jax.cli import flags as cli_flags
from reid_jax.errors import UserError
from reid_jax.input import source as sources
from reid_jax.models import build_model
from reid_jax.runs import checkpoints, pretrained, run_embeddings
from reid_jax.runs import folder as run_folder
from reid_jax.runs import log as metric_log
from reid_jax.runs.meter import Meter
from reid_jax.scoring import scores
from reid_jax.tables import flags as table_flags
from reid_jax.tables import plans as table_plans
from reid_jax.tables import runs as table_runs


def train(config, workdir: pathlib.Path, run: tuple[int, int] = (0, 1)) -> None:
    """The whole run that `config` describes, from its data to its score table.

    `run` is its number, from 0, of how many: of several there is a total progress too.
    Raises KeyboardInterrupt where it was interrupted, when all is saved.
    """
    # 1. The tracklets, and how many steps their identities make.
    config = config.copy_and_resolve_references()
    config_checks.check_config(config)
    parallel.check_same(run_folder.flat(config), "configs")
    pipeline = sources.pipeline(config)
    with parallel.first_before_others():  # what is missing is rendered once
        dataset = pipeline.load_dataset(config)
        tracklets = pipeline.load_training_split(config, dataset)
    data = {"fingerprint": tracklets.fingerprint, "scored on": dataset.fingerprint}
    parallel.check_same(data, "data")
    scores.headline(config, dataset.protocols)  # known?
    pids = pipeline.training_pids(tracklets)
    next(pipeline.train_clips(tracklets, config))  # P×K possible?
    steps_per_epoch = pipeline.steps_per_epoch(tracklets, config)
    num_steps = round(config.train.epochs * steps_per_epoch)
    if config.train.max_steps is not None:
        num_steps = min(num_steps, config.train.max_steps)

    # 2. The network and its optimizer, the same on every device.
    mesh = parallel.data_mesh()
    parallel.check_divisible(config.data.p * config.data.k, mesh, "P*K")
    parallel.check_divisible(config.eval.batch_clips, mesh, "config.eval.batch_clips")
    schedule = steps.learning_rate_schedule(config, steps_per_epoch)
    optimizer = steps.build_optimizer(config, schedule)

    # 3. The run's folder: where it was left, or a new one.
    with contextlib.ExitStack() as owned:
        with parallel.first_before_others():
            if parallel.is_first():
                owned.enter_context(run_folder.owned(workdir))
                run_folder.bind(workdir, config, pids, tracklets.fingerprint)
        training = owned.enter_context(contextlib.ExitStack())
        stop = training.enter_context(_stop_on_signal())
        saved = checkpoints.Checkpoints(workdir, write=True)
        model = build_model(config.model, len(pids), rngs=nnx.Rngs(config.seed))
        graphdef, state = steps.initial_state(model, optimizer)
        steps.check_accumulation(config, state.batch_stats, mesh.size)
        state = parallel.replicate(state, mesh)
        unlogged = []
        if found := saved.restore_newest(state):
            last, state, unlogged = found
            print(f"Resuming {workdir} after step {last} of {num_steps}.")
        elif config.init_from:
            record = pretrained.start(
                model, config, (run_folder.training_name(config), pids.tolist())
            )
            if parallel.is_first():
                files.write_json(workdir / "init_from.json", record)
            graphdef, state = steps.initial_state(model, optimizer)
            state = parallel.replicate(state, mesh)
        first_step = int(state.step)

        # 4. One step, compiled once, and what is said of it.
        train_step = steps.make_train_step(graphdef, optimizer, config)
        embed_step = steps.make_embed_step(graphdef, config)
        log = metric_log.MetricLog(workdir if parallel.is_first() else None, first_step)
        bar = metric_log.TrainProgress(first_step, num_steps, run)
        meter = Meter(config, schedule, log, bar, num_steps, unlogged)

        def score(state: steps.TrainState) -> dict[str, float]:
            embedded = run_embeddings.embed_trained(
                embed_step, state, dataset, config, mesh
            )
            if parallel.is_first():
                run_embeddings.save(embedded, config, workdir)
            result = evaluate.score_of_training(embedded, config)
            metrics = {"mean_ap": result.mean_ap, "rank1": float(result.cmc[0])}
            log.write(int(state.step), metrics)
            percent = "  ".join(f"{k} {v:.1%}" for k, v in metrics.items())
            bar.print(f"step {int(state.step)}: {percent} on {config.data.name}")
            return metrics

        often = config.train
        eval_every = max(1, round(often.eval_every_epochs * steps_per_epoch))
        save_every = max(1, round(often.checkpoint_every_epochs * steps_per_epoch))

        # 5. The loop: batches in, checkpoints out, until the last step or a signal.
        batches = pipeline.train_batches(
            tracklets, config, first_step=first_step, mesh=mesh
        )
        with training:
            for resource in (batches, log, bar):
                training.enter_context(contextlib.closing(resource))
            for step in range(first_step + 1, num_steps + 1):
                state, metrics = train_step(state, next(batches))
                meter.add(step, metrics)
                is_scored = step % eval_every == 0 or step == num_steps
                is_stopped = stop.is_set()
                if jax.process_count() > 1:  # all have to stop at the same step
                    is_stopped = step % _ASK_EVERY == 0 and parallel.any_process(
                        is_stopped
                    )
                if is_scored or step % save_every == 0 or is_stopped:
                    meter.check(state)
                    if step == num_steps:
                        meter.log()
                    metrics = None
                    try:
                        metrics = score(state) if is_scored else None
                    finally:  # a score that fails loses no step
                        saved.save(state, metrics, meter.unlogged)
                    meter.restart_clock()
                if is_stopped:
                    break

            if num_steps == 0:  # scores what it starts from
                saved.save(state)

        # 6. Interrupted: everything is saved, the same command goes on.
        saved.close()
        if parallel.any_process(stop.is_set()) or int(state.step) < num_steps:
            print(
                f"Interrupted: step {int(state.step)} of {num_steps} is saved in "
                f"{workdir}; the same command goes on."
            )
            parallel.leave()
            raise stop.error
        if parallel.is_first():
            run_folder.mark_finished(workdir, num_steps)

        # 7. The score table of each dataset, with its files and pictures.
        if not parallel.is_first():
            parallel.wait_for_all("scored")
            return
        for name in dict.fromkeys([config.data.name, *config.data.mixture]):
            config.data.name = name
            evaluate.evaluate(config, workdir)
        parallel.wait_for_all("scored")


def train_table(number: str, runs: pathlib.Path, num_seeds: int, **settings) -> None:
    """Train the runs that a table of the papers still lacks, one after the other.

    `settings` are those of `table_plans.plans`.
    """
    plans = table_plans.plans(number, **settings)
    lacking = table_runs.lacking(plans, table_runs.read(runs), num_seeds)
    total = table_runs.number(plans, num_seeds)
    began = time.monotonic()
    for i, wanted in enumerate(lacking):
        left = "" if i == 0 else _minutes((time.monotonic() - began) / i, lacking[i:])
        run = (total - len(lacking) + i, total)
        print(f"\nrun {run[0] + 1} of {total}: {wanted.workdir}{left}", flush=True)
        train(wanted.config, wanted.workdir, run)


def _minutes(seconds_a_run: float, left: list) -> str:
    return f" (about {seconds_a_run * len(left) / 60:.0f} minutes left)"


_ASK_EVERY = 10
"""Steps after which several processes ask each other whether one was told to stop."""


@contextlib.contextmanager
def _stop_on_signal():
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C interrupts at once.

    Its `error` is what the program is to end by.
    """
    stop = threading.Event()
    stop.error = KeyboardInterrupt

    def handle(number, frame):
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            stop.error = ending.Terminated
        stop.set()

    before = {n: signal.signal(n, handle) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _define_flags() -> None:
    config_flags.DEFINE_config_file(
        "config",
        "configs/base.py" if table_flags.are_asked() else None,
        "A file of configs/; its fields are set by --config.x=y.",
    )
    flags.DEFINE_string(
        "workdir", None, "Folder of the run; runs/<name of the config file> by default."
    )
    flags.DEFINE_string(
        "coordinator",
        None,
        "Of several processes: host:port of number 0, or auto (SLURM, Cloud TPU).",
    )
    table_flags.define()
    flags.adopt_module_key_flags(table_flags)  # for --help
    flags.DEFINE_integer("seeds", 1, "Of --table: runs of each row.", 1)
    flags.DEFINE_integer("num_processes", None, "How many there are.", 1)
    flags.DEFINE_integer("process_id", None, "The number of this one, from 0.", 0)


def main() -> None:
    compile_cache.enable()
    values = flags.FLAGS
    if values.table is not None:
        runs = pathlib.Path(values.runs)
        others = ("config", "workdir", "coordinator", "num_processes", "process_id")
        settings = table_flags.settings(*others)
        train_table(values.table, runs, values.seeds, **settings)
        evaluate.print_table(values.table, runs, **settings)
        return
    table_flags.refuse_without_table("seeds")
    if values.config is None:
        raise UserError("--config=configs/NAME.py is needed; see configs/.")
    parallel.connect(values.coordinator, values.num_processes, values.process_id)
    if not parallel.is_first():  # which speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    file = config_flags.get_config_filename(values["config"])
    workdir = pathlib.Path(values.workdir or f"runs/{variants.slug(file)}")
    train(values.config, workdir)


if __name__ == "__main__":
    cli_flags.run(main, _define_flags)
