"""The one base class of all errors that a user can mend."""


class UserError(ValueError):
    """Something that the user gave cannot be used; the message says the way out.

    Programs print it as one line. Any other ValueError is a fault of this project or
    of a library, and keeps its traceback.
    """


class DivergedError(UserError, FloatingPointError):
    """A loss or a parameter that is no longer finite."""
