"""Telling a full disk from other faults, however a library wraps it."""

import errno
import os

ADVICE = "Free some space and run the same command to go on."

_FULL = (errno.ENOSPC, errno.EDQUOT)


def is_full_error(error: BaseException | None) -> bool:
    """Whether `error`, or what it came from, says that no space (or quota) is left."""
    while error is not None:
        if getattr(error, "errno", None) in _FULL:
            return True
        if any(os.strerror(number) in str(error) for number in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False
