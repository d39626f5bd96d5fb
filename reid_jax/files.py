"""Writes files completely or not at all."""

import contextlib
import errno
import json
import os
import pathlib
import shutil
import uuid
from collections.abc import Iterator
from typing import Any

from reid_jax.errors import UserError

ADVICE = "Free some space and run the same command to go on."

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def write_whole(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary path; when the block ends, that file is renamed to `path`.

    The block writes a file at the temporary path, or makes a folder there. For a
    folder, `path` must not exist yet, or be an empty folder.

    The temporary name is unique and keeps the suffix. So several programs may write the
    same file at once: the last to end wins, and no reader sees half a file. A block
    that fails leaves nothing behind. The folder is created if needed, and the file gets
    the permissions that the umask gives.

    Raises:
        UserError: the disk is full, or nothing can be written in the folder.
    """
    path = pathlib.Path(path)
    unique = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    unfinished = path.with_name(f".{path.stem}.{unique}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            remove = shutil.rmtree if unfinished.is_dir() else pathlib.Path.unlink
            remove(unfinished)
        if is_full_error(error):
            raise UserError(
                f"No space left for {path}: no part of it was written. {ADVICE}"
            ) from None
        our_paths = map(str, (unfinished, path, path.parent))
        if isinstance(error, OSError) and str(error.filename) in our_paths:
            raise UserError(f"{path} cannot be written: {error.strerror}.") from None
        raise


def write_text(path: str | os.PathLike, text: str) -> None:
    """Writes a UTF-8 text file, completely or not at all; raises as `write_whole`."""
    with write_whole(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes a JSON file, completely or not at all; raises as `write_whole`."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def is_full_error(error: BaseException | None) -> bool:
    """Whether `error`, or an error that caused it, reports a full disk or quota."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        if any(os.strerror(number) in str(error) for number in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
