"""Errors that the user can fix, under one base class."""


class UserError(ValueError):
    """An input that cannot be used; the message says how to fix it.

    Programs print it as one line. Any other ValueError is a bug in this project or in a
    library and keeps its traceback.
    """


class DivergedError(UserError, FloatingPointError):
    """Training reached numbers that are not finite; other settings may help."""
