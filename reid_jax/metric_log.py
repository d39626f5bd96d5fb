"""What a run reports while it trains: progress, JSON lines and TensorBoard."""

import json
import os
import pathlib
import sys

from rich import progress


class MetricLog:
    """Scalars of a run in `<workdir>/metrics.jsonl` and as TensorBoard events.

    A resumed run goes on after its checkpoint: what was logged later is dropped.
    """

    def __init__(self, workdir: str | os.PathLike, first_step: int):
        import tensorboardX

        path = pathlib.Path(workdir) / "metrics.jsonl"
        kept = _lines_until(path, first_step)
        unfinished = path.with_suffix(".tmp")
        unfinished.write_text("".join(kept))
        unfinished.replace(path)
        self._file = path.open("a")
        self._writer = tensorboardX.SummaryWriter(
            str(pathlib.Path(workdir) / "tensorboard"), purge_step=first_step
        )

    def write(self, step: int, scalars: dict[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **scalars}) + "\n")
        self._file.flush()
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        self._writer.close()


def _lines_until(path: pathlib.Path, step: int) -> list[str]:
    if not path.exists():
        return []
    kept = []
    for line in path.read_text().splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (json.JSONDecodeError, KeyError):
            continue  # the last line of a run that was killed while it wrote
    return kept


_SHOWN = ("loss", "active_triplets", "precision_at_1", "frames_per_second")
"""Of all that is logged, what a plain line shows."""


class TrainProgress:
    """A progress bar with the time left; plain lines where there is no terminal."""

    def __init__(self, first_step: int, num_steps: int):
        self._num_steps = num_steps
        self._bar = None
        if sys.stdout.isatty():
            self._bar = progress.Progress(
                progress.TextColumn("step"),
                progress.MofNCompleteColumn(),
                progress.BarColumn(bar_width=10),
                progress.TimeElapsedColumn(),
                progress.TextColumn("left"),
                progress.TimeRemainingColumn(),
                progress.TextColumn("{task.fields[note]}"),
            )
            self._task = self._bar.add_task(
                "train", total=num_steps, completed=first_step, note=""
            )
            self._bar.start()

    def advance(self, step: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=step)

    def note(self, step: int, scalars: dict[str, float], seconds_left: float) -> None:
        if self._bar:
            note = f"loss {scalars['loss']:.4g}"
            if rate := scalars.get("frames_per_second"):
                note += f"  {rate:.0f} frames/s"
            self._bar.update(self._task, completed=step, note=note)
        else:
            shown = [(name, scalars[name]) for name in _SHOWN if name in scalars]
            text = "  ".join(f"{name} {value:.4g}" for name, value in shown)
            left = "?" if seconds_left != seconds_left else f"{seconds_left:.0f} s"
            print(f"step {step}/{self._num_steps}  {text}  left {left}", flush=True)

    def print(self, text: str) -> None:
        if self._bar:
            self._bar.console.print(text, highlight=False)
        else:
            print(text, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()
