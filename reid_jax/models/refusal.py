"""One error for whatever a damaged file leads its parser to."""

import contextlib
import os

from reid_jax.errors import UserError


@contextlib.contextmanager
def refused(path: str | os.PathLike, what: str):
    """Turns every error of the block into a UserError: it is damaged or no `what`."""
    try:
        yield
    except Exception as error:
        reason = first_sentence(error)
        raise UserError(
            f"{path} was refused: it is damaged or no {what} ({reason})."
        ) from None


def first_sentence(error: Exception) -> str:
    """What a parser has to say, without its advice."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[0].split(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {said}" if len(said) < 8 else said
