"""How far the embedding is, and the time left."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

import rich.console
import rich.progress


@contextlib.contextmanager
def shown() -> Iterator[Callable[[int, int, str], None]]:
    """A function (done, total, camera) that shows how far it is, and the time left."""
    if sys.stderr.isatty():
        columns = (
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=20),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("boxes  left"),
            rich.progress.TimeRemainingColumn(),
        )
        console = rich.console.Console(stderr=True)
        with rich.progress.Progress(*columns, console=console) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total, camera: bar.update(
                task, completed=done, total=total, description=camera
            )
        return
    began = last = time.monotonic()

    def show(done: int, total: int, camera: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 10 and done:
            last = now
            left = (now - began) * (total - done) / done
            print(
                f"{camera}: {done:,} of {total:,} boxes, {left:.0f} s left",
                file=sys.stderr,
                flush=True,
            )

    yield show
