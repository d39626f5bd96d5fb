"""Ctrl-C and SIGTERM during training: the run stops after the current step."""

import signal

import jax

from reid_jax import peers
from reid_jax.cli import ending

_ASK_EVERY = 10
"""Number of steps after which processes ask each other whether one was signalled."""


class StopOnSignal:
    """Records Ctrl-C or SIGTERM while its block runs; a second Ctrl-C interrupts.

    - `is_set`: whether a signal came.
    - `error`: the exception that should end the program then.
    """

    def __init__(self):
        self.is_set = False
        self.error: type[BaseException] = KeyboardInterrupt

    def __enter__(self) -> "StopOnSignal":
        numbers = signal.SIGINT, signal.SIGTERM
        self._previous_handlers = {n: signal.signal(n, self._handle) for n in numbers}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._previous_handlers.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)

    def _handle(self, number, frame) -> None:
        if self.is_set and number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            self.error = ending.Terminated
        self.is_set = True

    def is_wanted(self, step: int) -> bool:
        """Whether the run should stop after `step`, the same step in all processes."""
        if jax.process_count() == 1:
            return self.is_set
        return step % _ASK_EVERY == 0 and peers.any_process(self.is_set)
