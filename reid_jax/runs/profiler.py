"""Traces a few training steps, for TensorBoard and Perfetto."""

import os
import pathlib
from collections.abc import Sequence

import jax

from reid_jax import peers


class Profiler:
    """Writes a trace of some training steps to `<workdir>/profile`.

    Only the main process writes.

    Args:
        workdir: the folder of the run.
        steps: (first, last) step, from 1; empty: no trace.
    """

    def __init__(self, workdir: str | os.PathLike, steps: Sequence[int]):
        self.folder = pathlib.Path(workdir) / "profile"
        self._first, self._last = steps or (0, -1)
        if not peers.is_main_process():
            self._last = -1
        self._annotation = None

    def begin(self, step: int) -> None:
        """Starts the trace before its first step; marks the beginning of each step."""
        if not self._first <= step <= self._last:
            return
        if self._annotation is None:
            jax.profiler.start_trace(self.folder, create_perfetto_trace=True)
        self._annotation = jax.profiler.StepTraceAnnotation("train", step_num=step)
        self._annotation.__enter__()

    def end(self, step: int, metrics: dict[str, jax.Array]) -> bool:
        """Ends the trace after its last step, once the device has computed `metrics`.

        Returns:
            Whether the trace was written now.
        """
        if self._annotation is None:
            return False
        self._annotation.__exit__(None, None, None)
        if step < self._last:
            return False
        jax.block_until_ready(metrics)
        self.close()
        return True

    def close(self) -> None:
        """Writes the trace so far, if one was started."""
        if self._annotation is not None:
            self._annotation, self._last = None, -1
            jax.profiler.stop_trace()
