"""The scalars of training steps: read now and then, checked, averaged, logged."""

import threading
import time
from concurrent import futures

import jax
import numpy as np

from reid_jax import steps
from reid_jax.errors import DivergedError
from reid_jax.runs import checkpoints


class Meter:
    """Collects the scalars of each step; reads them from the device now and then.

    `unlogged` are those that the log has not got yet, with their `step`.
    """

    def __init__(self, config, schedule, log, bar, num_steps: int, unlogged: list):
        self._every = config.train.log_every_steps
        self._frames = config.data.p * config.data.k * config.model.clip_length
        self._schedule, self._log, self._bar = schedule, log, bar
        self._loss, self._collapsed = config.loss, 0
        self._num_steps = num_steps
        self.unlogged: list[checkpoints.Scalars] = unlogged
        self._pending: list[tuple[int, dict]] = []
        # When each step was given to the device, and when it was done there; None:
        # before the first step, which compiles.
        self._times: list[tuple[float, futures.Future[float]]] | None = None

    def restart_clock(self) -> None:
        """Leave what was done since the last step out of the rate."""
        self._clock, self._times = time.perf_counter(), []

    def add(self, step: int, metrics: dict[str, jax.Array]) -> None:
        given = time.perf_counter()
        self._pending.append((step, metrics))
        self._bar.advance(step)
        done = _when_ready(metrics)
        if self._times is None:
            done.result()
            self.restart_clock()
        else:
            self._times.append((given, done))
        if step % self._every == 0:
            self.check()
            self.log()

    def check(self, state: steps.TrainState | None = None) -> None:
        """Read the steps since the last call.

        Raises DivergedError when a loss, or `state` after them, is not finite.
        """
        read = jax.device_get(self._pending)
        self._pending = []
        for step, metrics in read:
            if not np.isfinite(metrics["loss"]):
                raise DivergedError(_DIVERGED.format(f"loss of step {step} is"))
            scalars = {name: float(value) for name, value in metrics.items()}
            self.unlogged.append({"step": step} | scalars)
        if state is not None and not steps.is_finite(state):
            after = f"parameters after step {int(state.step)} are"
            raise DivergedError(_DIVERGED.format(after))

    def log(self) -> None:
        """Log the mean of what is not logged yet."""
        if not self.unlogged:
            return
        last = self.unlogged[-1]["step"]
        names = [name for name in self.unlogged[0] if name != "step"]
        mean = {k: float(np.mean([row[k] for row in self.unlogged])) for k in names}
        self.unlogged = []
        mean["learning_rate"] = float(self._schedule(last - 1))
        seconds_left = float("nan")
        if self._times:
            seconds = time.perf_counter() - self._clock
            mean["frames_per_second"] = self._frames * len(self._times) / seconds
            mean["device_waits"] = self._idle_seconds() / seconds
            seconds_left = seconds / len(self._times) * (self._num_steps - last)
        self._log.write(last, mean)
        self._bar.note(last, mean, seconds_left)
        self._say_if_collapsed(mean)
        self.restart_clock()

    def _idle_seconds(self) -> float:
        """How long the device had no step to do since the clock was started.

        Copies of a step's batch to the device count as the step.
        """
        ends = [self._clock, *(done.result() for _, done in self._times)]
        starts = [given for given, _ in self._times]
        return sum(
            max(0.0, start - end) for start, end in zip(starts, ends, strict=False)
        )

    def _say_if_collapsed(self, mean: dict[str, float]) -> None:
        """Once, when batch-hard's loss stays at the margin: no distance is left."""
        at_margin = (
            self._loss.triplet_weight > 0
            and mean["active_triplets"] > 0.98
            and abs(mean["triplet"] - self._loss.margin) < 0.02 * self._loss.margin
        )
        self._collapsed = self._collapsed + 1 if at_margin else 0
        if self._collapsed == _COLLAPSED_LOGS:
            self._bar.print(_COLLAPSED)


def _when_ready(arrays) -> futures.Future[float]:
    """The time at which they are, once they are; the program's end does not wait."""
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
