"""Ctrl-C and SIGTERM while a run is trained: a wish to stop after the step."""

import signal

import jax

from reid_jax import parallel
from reid_jax.cli import ending

_ASK_EVERY = 10
"""Steps after which several processes ask each other whether one was told to stop."""


class StopOnSignal:
    """Notes Ctrl-C or SIGTERM while its block runs; a second Ctrl-C interrupts at once.

    `error` is what the program is to end by.
    """

    def __init__(self):
        self.is_set = False
        self.error: type[BaseException] = KeyboardInterrupt

    def __enter__(self) -> "StopOnSignal":
        numbers = signal.SIGINT, signal.SIGTERM
        self._before = {n: signal.signal(n, self._handle) for n in numbers}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            if handler is not None:  # else it was not set from Python
                signal.signal(number, handler)

    def _handle(self, number, frame) -> None:
        if self.is_set and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            self.error = ending.Terminated
        self.is_set = True

    def is_wanted(self, step: int) -> bool:
        """Whether the run is to stop after `step`: all processes at the same one."""
        if jax.process_count() == 1:
            return self.is_set
        return step % _ASK_EVERY == 0 and parallel.any_process(self.is_set)
