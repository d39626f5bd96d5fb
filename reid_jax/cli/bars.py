"""Columns of progress bars that several programs show."""

from rich import progress, text

from reid_jax import quantities


class TimeLeft(progress.ProgressColumn):
    """Shows the estimated time left: "left 2 min 32 s"."""

    max_refresh = 0.5  # seconds between two estimates

    def render(self, task: progress.Task) -> text.Text:
        return text.Text(time_left(task.time_remaining))


def time_left(seconds: float | int | None) -> str:
    """Formats an estimate as a column of fixed width; None: not known yet."""
    duration = "?" if seconds is None else quantities.duration(seconds)
    return f"left {duration:<11}"
