"""Shows the progress of embedding and the remaining time."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress

from reid_jax.cli import bars


@contextlib.contextmanager
def shown() -> Iterator[Callable[[int, int, str], None]]:
    """Yields a function (done, total, camera) that shows the progress."""
    if sys.stderr.isatty():
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("boxes"),
            bars.TimeLeft(),
        )
        console = rich.console.Console(stderr=True)
        with rich.progress.Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total, camera: bar.update(
                task, completed=done, total=total, description=camera
            )
        return
    start = last_shown = time.monotonic()

    def show(done: int, total: int, camera: str) -> None:
        nonlocal last_shown
        now = time.monotonic()
        if now - last_shown > 10 and done:
            last_shown = now
            seconds_left = (now - start) * (total - done) / done
            num_done = f"{done:{len(f'{total:,}')},}"
            time_left = bars.time_left(seconds_left).rstrip()
            print(
                f"{camera}: {num_done} of {total:,} boxes  {time_left}",
                file=sys.stderr,
                flush=True,
            )

    yield show
