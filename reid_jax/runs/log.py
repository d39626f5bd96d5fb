"""Reports of a run in training: progress bar, JSON lines and TensorBoard."""

import contextlib
import json
import os
import pathlib
import sys
import time

from rich import progress

from reid_jax import files, quantities
from reid_jax.cli import bars
from reid_jax.runs.folder import WorkdirError


class MetricLog:
    """Logs scalars to `<workdir>/metrics.jsonl` and as TensorBoard events.

    When a run resumes, lines after its checkpoint (`first_step`) are removed. Without a
    workdir nothing is logged.

    Raises:
        WorkdirError: the files cannot be written.
    """

    def __init__(self, workdir: str | os.PathLike | None, first_step: int):
        self._file = self._events = None
        if workdir is None:
            return
        self._workdir = pathlib.Path(workdir)
        path = self._workdir / "metrics.jsonl"
        with self._reporting_errors():
            lines = _lines_until(path, first_step)
            files.write_text(path, "".join(lines))
            self._file = path.open("a")
            self._events = _Events(self._workdir / "tensorboard", first_step)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Writes the scalars of a step."""
        if self._file is None:
            return
        with self._reporting_errors():
            self._file.write(json.dumps({"step": step, **scalars}) + "\n")
            self._file.flush()
            self._events.write(step, scalars)

    def close(self) -> None:
        # An error here was reported before, or concerns a copy of the other file.
        for file in filter(None, (self._file, self._events)):
            with contextlib.suppress(OSError):
                file.close()

    @contextlib.contextmanager
    def _reporting_errors(self):
        """Turns an OSError of the block into a WorkdirError."""
        try:
            yield
        except OSError as error:
            advice = f" {files.ADVICE}" if files.is_full_error(error) else ""
            raise WorkdirError(
                f"The log in {self._workdir} cannot be written: {error.strerror}."
                f"{advice}"
            ) from None


class _Events:
    """TensorBoard's file, written in the calling thread, which sees a full disk."""

    def __init__(self, folder: pathlib.Path, first_step: int):
        from tensorboardX import event_file_writer, proto

        folder.mkdir(exist_ok=True)
        self._event, self._summary = proto.event_pb2, proto.summary_pb2
        suffix = f".{first_step}"
        self._file = event_file_writer.EventsWriter(str(folder / "events"), suffix)
        # TensorBoard drops the events of later steps, from before an interruption.
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
    """Reads the lines of a log up to `step`; reports the number of damaged ones."""
    if not path.exists():
        return []
    *lines, last = path.read_text(errors="replace").splitlines(keepends=True) or [""]
    lines_until, num_damaged = [], 0
    for line in [*lines, last]:
        try:
            if json.loads(line)["step"] <= step:
                lines_until.append(line)
        except (ValueError, KeyError, TypeError):
            # The last line may be cut off, if the run was killed while it wrote.
            num_damaged += line is not last
    if num_damaged:
        print(f"{path}: {num_damaged} damaged lines are left out.", file=sys.stderr)
    return lines_until


def read(workdir: str | os.PathLike) -> list[dict[str, float | int]]:
    """Reads the rows of a run's log, in order, without damaged lines."""
    path = pathlib.Path(workdir) / "metrics.jsonl"
    return [json.loads(line) for line in _lines_until(path, sys.maxsize)]


TIMES = ("frames_per_second", "device_waits")
"""Logged scalars that differ between equal runs; the first line of a start has none."""

_PRINTED = {
    "loss": lambda value: f"{quantities.three_digits(value):>6}",
    "active_triplets": lambda share: f"{quantities.percent(share):>7}",
    "precision_at_1": lambda share: f"{quantities.percent(share):>7}",
}
"""Logged scalars of a plain progress line, and the function that formats each."""


class TrainProgress:
    """Shows a progress bar with the time left; without a terminal, plain lines.

    `run` is the number of this run, from 0, and of all runs; with several, there is a
    second bar for them.
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
                bars.TimeLeft(),
                progress.TextColumn("{task.fields[note]}"),
            )
            self._task = self._bar.add_task("step", total=num_steps, note="")
            if run[1] > 1:
                self._runs = self._bar.add_task("run ", total=run[1], note="")
            self._bar.start()
            self.advance(first_step)

    def advance(self, step: int) -> None:
        """Moves the bar to `step`."""
        if self._bar:
            self._bar.update(self._task, completed=step)
            number, num_runs = self._run
            if num_runs > 1:
                done = number + step / max(1, self._num_steps)
                self._bar.update(self._runs, completed=done)

    def note(self, step: int, scalars: dict[str, float], seconds_left: float) -> None:
        """Shows scalars of a step beside the bar, or prints them as a line."""
        if self._bar:
            note = f"loss {quantities.three_digits(scalars['loss']):>5}"
            if rate := scalars.get("frames_per_second"):
                note += f"  {quantities.rate(rate, 'frames')}"
            self._bar.update(self._task, note=note)
            self.advance(step)
        else:
            print(self._line(step, scalars, seconds_left), flush=True)

    def _line(self, step: int, scalars: dict[str, float], seconds_left: float) -> str:
        """Formats scalars as a line; its columns align with those of other lines."""
        number, num_runs = self._run
        columns = [f"run {number + 1}/{num_runs}"] if num_runs > 1 else []
        columns.append(f"step {step:{len(str(self._num_steps))}}/{self._num_steps}")
        columns += [
            f"{name} {formatted(scalars[name])}"
            for name, formatted in _PRINTED.items()
            if name in scalars
        ]
        columns.append(bars.time_left(seconds_left))
        if "frames_per_second" in scalars:  # not in the first line of a start
            rate = quantities.rate(scalars["frames_per_second"], "frames")
            waits = quantities.percent(scalars["device_waits"])
            columns += [f"{rate:>14}", f"device_waits {waits:>7}"]
        return "  ".join(columns).rstrip()

    def print(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
