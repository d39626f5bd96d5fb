"""Errors that a user can mend: one base class for all."""


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says the way out.

    Programs print it as one line. Any other ValueError is a fault of this project or
    of a library, and keeps its traceback.
    """


class DivergedError(UserError, FloatingPointError):
    """Training came to numbers that are not finite: other settings may help."""
