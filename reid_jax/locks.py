"""One program at a time: lock files that others wait for."""

import contextlib
import fcntl
import functools
import os
import pathlib
import socket
import sys
import time
from collections.abc import Iterator

from reid_jax.errors import UserError

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def held(path: str | os.PathLike, purpose: str) -> Iterator[None]:
    """Holds the lock file `path` while the block runs; waits while another has it.

    Who waits says so once on stderr, with the `purpose` ("to build walkers/tiny"), and
    then has to look again: the other program may have done the work. The system lets
    go of the lock when its holder ends, however it ends. On a file system without locks
    nobody is kept out, and a warning says so. The file and its folder are made if
    needed; the file is gone afterwards. Not re-entrant.

    Raises:
        UserError: the file cannot be made or opened.
    """
    path = pathlib.Path(path)
    try:
        file = _locked(path, purpose)
    except OSError as error:
        raise UserError(f"{path} is needed {purpose}: {error.strerror}.") from error
    try:
        yield
    finally:
        # Removed while it is held: see `_is_there`.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(file)


def _locked(path: pathlib.Path, purpose: str) -> int:
    """A descriptor of the file at `path`, with the lock on it."""
    has_told = False
    while True:
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
            file = _open(path)
        except (FileNotFoundError, FileExistsError):
            # Others make and remove the folder meanwhile, unless it is no folder.
            if path.parent.is_file() or path.parent.is_symlink():
                raise
            time.sleep(_POLL_SECONDS)
            continue
        try:
            is_ours = _try(file, path)
            if is_ours and _is_there(file, path):
                _sign(file)
                return file
            if not is_ours and not has_told:
                holder = os.pread(file, 200, 0).decode(errors="replace").strip()
                print(
                    f"Waiting {purpose}: {holder or 'another process'} has {path} "
                    "locked.",
                    file=sys.stderr,
                    flush=True,
                )
                has_told = True
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if not is_ours:
            time.sleep(_POLL_SECONDS)  # and not in flock: Ctrl-C must end it anywhere


def _open(path: pathlib.Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        if not path.exists() and not os.access(path.parent, os.W_OK):
            raise
        return os.open(
            path, os.O_RDONLY
        )  # a colleague's: it can be locked all the same


def _try(file: int, path: pathlib.Path) -> bool:
    """Whether nobody else has the lock now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        _warn_once(path.parent, error.strerror)
    return True


@functools.cache
def _warn_once(folder: pathlib.Path, reason: str) -> None:
    print(
        f"{folder} is on a file system without locks ({reason}): let one program at a "
        "time write there.",
        file=sys.stderr,
        flush=True,
    )


def _is_there(file: int, path: pathlib.Path) -> bool:
    """Whether the locked file is still the one at `path`.

    Its holder removes it: who has waited for that file holds what no newcomer looks at.
    """
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(file: int) -> None:
    """Notes in the file who holds it, where it can be written."""
    with contextlib.suppress(OSError):
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
