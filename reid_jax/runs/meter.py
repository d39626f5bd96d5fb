"""Collects each step's metrics on the device; fetches, checks and logs their mean."""

import threading
import time
from collections.abc import Callable
from concurrent import futures

import jax
import numpy as np

from reid_jax import quantities, steps
from reid_jax.errors import DivergedError
from reid_jax.runs.checkpoints import Scalars
from reid_jax.runs.log import MetricLog, TrainProgress


class Meter:
    """Collects each step's scalars on the device; logs their mean every `log_every`.

    Scalars are fetched while the device computes the next step, so that it never waits
    for the host.

    Args:
        log: file of the scalars.
        bar: shows them.
        schedule: learning rate by step.
        num_steps: last step of the run.
        log_every: steps between two lines of the log.
        frames_per_step: frames in a batch, for the throughput.
        margin: of the triplet loss; None when that is not used.
        unlogged: scalars with their `step` that a checkpoint had before they were
            logged.
    """

    def __init__(
        self,
        log: MetricLog,
        bar: TrainProgress,
        schedule: Callable[[int], float],
        *,
        num_steps: int,
        log_every: int,
        frames_per_step: int,
        margin: float | None,
        unlogged: list[Scalars],
    ):
        self._log, self._bar, self._schedule = log, bar, schedule
        self._num_steps, self._log_every = num_steps, log_every
        self._frames, self._margin, self._num_collapsed = frames_per_step, margin, 0
        self.unlogged = unlogged
        self._pending: list[tuple[int, dict]] = []
        # When each step was given to the device, and when the device had done it. None
        # before the first step, which compiles and does not count.
        self._times: list[tuple[float, futures.Future[float]]] | None = None

    def restart_clock(self) -> None:
        """Restarts the throughput clock, so that scoring and saving do not count."""
        self._clock, self._times = time.perf_counter(), []

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        """Adds the scalars of a step that was just given to the device."""
        start = time.perf_counter()
        if (step - 1) % self._log_every == 0:
            self.check()
            self.log()
        self._pending.append((step, metrics))
        self._bar.advance(step)
        done = _when_ready(metrics)
        if self._times is None:
            done.result()
            self.restart_clock()
        else:
            self._times.append((start, done))

    def check(self, state: steps.TrainState | None = None) -> None:
        """Fetches the scalars of the steps since the last call and checks the losses.

        With `state`, the state after these steps, its parameters are checked too, and
        the scalars are logged if its step is a multiple of `log_every`.

        Raises:
            DivergedError: a loss or a parameter is not finite.
        """
        fetched = jax.device_get(self._pending)
        self._pending = []
        for step, metrics in fetched:
            if not np.isfinite(metrics["loss"]):
                raise DivergedError(_DIVERGED.format(f"loss of step {step} is"))
            scalars = {name: float(value) for name, value in metrics.items()}
            self.unlogged.append({"step": step} | scalars)
        if state is not None and not steps.is_finite(state):
            subject = f"parameters after step {int(state.step)} are"
            raise DivergedError(_DIVERGED.format(subject))
        if state is not None and int(state.step) % self._log_every == 0:
            self.log()

    def log(self) -> None:
        """Logs the mean of the fetched, unlogged scalars, and the throughput."""
        if not self.unlogged:
            return
        last = self.unlogged[-1]["step"]
        names = [name for name in self.unlogged[0] if name != "step"]
        mean = {k: float(np.mean([row[k] for row in self.unlogged])) for k in names}
        self.unlogged = []
        mean["learning_rate"] = float(self._schedule(last - 1))
        seconds_left = float("nan")
        if self._times:
            last_done = self._times[-1][1].result()
            seconds = last_done - self._clock
            mean["frames_per_second"] = self._frames * len(self._times) / seconds
            mean["device_waits"] = self._idle_seconds() / seconds
            seconds_left = seconds / len(self._times) * (self._num_steps - last)
            self._clock, self._times = last_done, []
        self._log.write(last, mean)
        self._bar.note(last, mean, seconds_left)
        self._warn_if_collapsed(mean)

    def log_scores(self, step: int, scores: dict[str, float], dataset: str) -> None:
        """Logs and prints the scores of a step; at the last step, logs scalars too."""
        if step == self._num_steps:
            self.log()
        self._log.write(step, scores)
        percent = quantities.percent
        text = "  ".join(f"{name} {percent(value)}" for name, value in scores.items())
        self._bar.print(f"step {step}: {text} on {dataset}")

    def _idle_seconds(self) -> float:
        """Seconds without a step on the device, since the clock was restarted.

        Copying a batch to the device counts as part of its step.
        """
        ends = [self._clock, *(done.result() for _, done in self._times)]
        starts = [start_time for start_time, _ in self._times]
        return sum(
            max(0.0, start - end) for start, end in zip(starts, ends, strict=False)
        )

    def _warn_if_collapsed(self, mean: dict[str, float]) -> None:
        """Warns once when the triplet loss stays at its margin: all distances are 0."""
        at_margin = (
            self._margin is not None
            and mean["active_triplets"] > 0.98
            and abs(mean["triplet"] - self._margin) < 0.02 * self._margin
        )
        self._num_collapsed = self._num_collapsed + 1 if at_margin else 0
        if self._num_collapsed == _COLLAPSED_LOGS:
            self._bar.print(_COLLAPSED)


def build_meter(config, log, bar, schedule, num_steps: int, unlogged: list) -> Meter:
    """Builds the meter of a run; arguments beside `config` are those of `Meter`."""
    has_margin = config.loss.metric == "triplet" and config.loss.triplet_weight > 0
    return Meter(
        log,
        bar,
        schedule,
        num_steps=num_steps,
        log_every=config.train.log_every_steps,
        frames_per_step=config.data.p * config.data.k * config.model.clip_length,
        margin=config.loss.margin if has_margin else None,
        unlogged=unlogged,
    )


def _when_ready(arrays) -> futures.Future[float]:
    """Returns a future of the time at which the device has computed the arrays.

    The end of the program does not wait for it.
    """
    done = futures.Future()

    def wait() -> None:
        try:
            jax.block_until_ready(arrays)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(time.perf_counter())

    threading.Thread(target=wait, daemon=True).start()
    return done


_COLLAPSED_LOGS = 5
_COLLAPSED = (
    "warning: the triplet loss stays at its margin: all embeddings are alike. A lower "
    "config.train.learning_rate or a trained start (config.init_from) may help."
)
_DIVERGED = (
    "the {} not finite: stopped; the last checkpoint is from before. A lower "
    "config.train.learning_rate or a warm-up (config.train.warmup_epochs) may help."
)
