"""Telling a full disk from other faults, however a library wraps it."""

import errno
import os


def is_full_error(error: BaseException | None) -> bool:
    """Whether `error`, or what it came from, says that no space is left."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ENOSPC:
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
