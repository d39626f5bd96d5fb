"""Turns whatever a parser raises on a damaged file into one kind of error."""

import contextlib
import os

from reid_jax.errors import UserError


@contextlib.contextmanager
def refused(path: str | os.PathLike, format_name: str):
    """Turns every error of the block into a UserError: `path` cannot be read.

    `format_name` is the expected format, such as "safetensors file".
    """
    try:
        yield
    except Exception as error:
        reason = first_sentence(error)
        raise UserError(
            f"{path} was refused: it is damaged or no {format_name} ({reason})."
        ) from None


def first_sentence(error: Exception) -> str:
    """First sentence of an error's message, without the advice that may follow."""
    lines = str(error).splitlines() or [type(error).__name__]
    sentence = lines[0].split(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {sentence}" if len(sentence) < 8 else sentence
