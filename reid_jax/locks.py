"""Lock files: one program at a time, the others wait."""

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Iterator

import filelock

from reid_jax.errors import UserError

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def held(path: str | os.PathLike, purpose: str) -> Iterator[None]:
    """Holds the lock file `path` while the block runs; first waits until it is free.

    A program that waits prints so once on stderr. After waiting, the block must check
    again what there is to do: the other program may have done the work. The operating
    system frees the lock when its holder ends, however it ends. The file and its folder
    are created if needed; the file is deleted afterwards. On a file system without
    locks, a warning is printed and the block runs unlocked. Not re-entrant.

    Args:
        path: the lock file.
        purpose: ends the message of a waiting program, such as "to build walkers/tiny".

    Raises:
        UserError: the file cannot be created or opened.
    """
    path = pathlib.Path(path)
    lock = filelock.FileLock(path, mode=0o666)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _acquire(lock, path, purpose)
    except NotImplementedError:
        _warn_once(path.parent)
    except OSError as error:
        raise UserError(f"{path} is needed {purpose}: {error.strerror}.") from error
    try:
        yield
    finally:
        # Deleted while the lock is held: a program that waits for this file notices
        # and creates a new one.
        with contextlib.suppress(OSError):
            path.unlink()
        lock.release()


def _acquire(lock: filelock.BaseFileLock, path: pathlib.Path, purpose: str) -> None:
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        print(
            f"Waiting {purpose}: another program has {path} locked.",
            file=sys.stderr,
            flush=True,
        )
        lock.acquire(poll_interval=_POLL_SECONDS)


@functools.cache
def _warn_once(folder: pathlib.Path) -> None:
    print(
        f"{folder} is on a file system without locks: let one program at a time write "
        "there.",
        file=sys.stderr,
        flush=True,
    )
