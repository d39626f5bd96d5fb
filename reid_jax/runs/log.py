"""What a run reports while it trains: progress, JSON lines and TensorBoard."""

import contextlib
import json
import os
import pathlib
import sys
import time

from rich import progress

from reid_jax import files
from reid_jax.runs.folder import WorkdirError


class MetricLog:
    """Scalars of a run in `<workdir>/metrics.jsonl` and as TensorBoard events.

    A resumed run goes on after its checkpoint: what was logged later is dropped.
    Without a workdir nothing is logged.
    Raises WorkdirError where the files cannot be written.
    """

    def __init__(self, workdir: str | os.PathLike | None, first_step: int):
        self._file = self._events = None
        if workdir is None:
            return
        self._workdir = pathlib.Path(workdir)
        path = self._workdir / "metrics.jsonl"
        with self._unwritable():
            kept = _lines_until(path, first_step)
            files.write_text(path, "".join(kept))
            self._file = path.open("a")
            self._events = _Events(self._workdir / "tensorboard", first_step)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        if self._file is None:
            return
        with self._unwritable():
            self._file.write(json.dumps({"step": step, **scalars}) + "\n")
            self._file.flush()
            self._events.write(step, scalars)

    def close(self) -> None:
        # What is not written by now has been reported, or is a copy of the other file.
        for file in filter(None, (self._file, self._events)):
            with contextlib.suppress(OSError):
                file.close()

    @contextlib.contextmanager
    def _unwritable(self):
        try:
            yield
        except OSError as error:
            advice = f" {files.ADVICE}" if files.is_full_error(error) else ""
            raise WorkdirError(
                f"The log in {self._workdir} cannot be written: {error.strerror}."
                f"{advice}"
            ) from None


class _Events:
    """TensorBoard's file, written by the calling thread: a full disk stops no queue."""

    def __init__(self, folder: pathlib.Path, first_step: int):
        from tensorboardX import event_file_writer, proto

        folder.mkdir(exist_ok=True)
        self._event, self._summary = proto.event_pb2, proto.summary_pb2
        suffix = f".{first_step}"
        self._file = event_file_writer.EventsWriter(str(folder / "events"), suffix)
        # What was written of later steps, before the run was interrupted, is no more.
        start = self._event.SessionLog(status=self._event.SessionLog.START)
        self._write(step=first_step, session_log=start)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        values = [
            self._summary.Summary.Value(tag=name, simple_value=value)
            for name, value in scalars.items()
        ]
        self._write(step=step, summary=self._summary.Summary(value=values))
        self._file.flush()

    def _write(self, **content) -> None:
        self._file.write_event(self._event.Event(wall_time=time.time(), **content))

    def close(self) -> None:
        self._file.close()


def _lines_until(path: pathlib.Path, step: int) -> list[str]:
    """The lines of a log up to `step`; those that are damaged are counted and left."""
    if not path.exists():
        return []
    *lines, last = path.read_text(errors="replace").splitlines(keepends=True) or [""]
    kept, num_damaged = [], 0
    for line in [*lines, last]:
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            # The last one may be that of a run that was killed while it wrote.
            num_damaged += line is not last
    if num_damaged:
        print(f"{path}: {num_damaged} damaged lines are left out.", file=sys.stderr)
    return kept


def read(workdir: str | os.PathLike) -> list[dict[str, float | int]]:
    """The rows of a run's log, in order; damaged lines are left out."""
    path = pathlib.Path(workdir) / "metrics.jsonl"
    return [json.loads(line) for line in _lines_until(path, sys.maxsize)]


TIMES = ("frames_per_second", "device_waits")
"""What is different each time that the same steps are run, and absent after a start."""

_SHOWN = ("loss", "active_triplets", "precision_at_1", *TIMES)
"""Of all that is logged, what a plain line shows."""


class TrainProgress:
    """A progress bar with the time left; plain lines where there is no terminal.

    `run` is the number of the run, from 0, and how many there are: a second bar.
    """

    def __init__(self, first_step: int, num_steps: int, run: tuple[int, int] = (0, 1)):
        self._num_steps, self._run = num_steps, run
        self._bar = None
        if sys.stdout.isatty():
            self._bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.MofNCompleteColumn(),
                progress.BarColumn(bar_width=10),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}"),
            )
            self._task = self._bar.add_task("step", total=num_steps, note="")
            if run[1] > 1:
                self._runs = self._bar.add_task("run ", total=run[1], note="")
            self._bar.start()
            self.advance(first_step)

    def advance(self, step: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=step)
            number, num_runs = self._run
            if num_runs > 1:
                done = number + step / max(1, self._num_steps)
                self._bar.update(self._runs, completed=done)

    def note(self, step: int, scalars: dict[str, float], seconds_left: float) -> None:
        if self._bar:
            note = f"loss {scalars['loss']:.4g}"
            if rate := scalars.get("frames_per_second"):
                note += f"  {rate:.0f} frames/s"
            self._bar.update(self._task, note=note)
            self.advance(step)
        else:
            shown = [(name, scalars[name]) for name in _SHOWN if name in scalars]
            text = "  ".join(f"{name} {value:.4g}" for name, value in shown)
            left = "?" if seconds_left != seconds_left else f"{seconds_left:.0f} s"
            number, num_runs = self._run
            run = f"run {number + 1}/{num_runs}  " if num_runs > 1 else ""
            step = f"{run}step {step}/{self._num_steps}"
            print(f"{step}  {text}  left {left}", flush=True)

    def print(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
