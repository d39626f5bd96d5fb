"""Files that are whole or not there, and what a full disk looks like."""

import errno
import os
import pathlib


def write_whole(path: pathlib.Path, text: str) -> None:
    """Write a file under another name first: an earlier one stays until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_text(text)
    unfinished.replace(path)


def is_full_error(error: BaseException | None) -> bool:
    """Whether `error`, or what it came from, says that no space is left."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC:
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
