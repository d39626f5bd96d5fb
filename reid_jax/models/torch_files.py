"""Weights from files of PyTorch, read with `weights_only`: no code of them is run."""

import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from reid_jax.errors import UserError
from reid_jax.models.refusal import first_sentence, refused

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Names under which training programs keep the weights beside other things."""


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """The weights of a file, the name they are under, and of others that it has.

    Raises UserError, with the reason, for what holds more than tensors, numbers and
    text, is damaged, or has no dictionary of tensors; and where PyTorch is missing.
    """
    torch = import_torch(path, "Reading")
    try:
        with (
            torch.serialization.safe_globals(_numpy_scalars()),
            warnings.catch_warnings(action="ignore"),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file leads the parser to
        # What PyTorch says around it is advice to switch the protection off.
        needs = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        reason = (
            f"it needs {needs[1]}, which is code and not weights; save its state_dict "
            "alone, where you trust the file"
            if needs
            else f"it is damaged or no file of torch.save ({first_sentence(error)})"
        )
        raise UserError(f"{path} was refused: {reason}.") from None
    found = choose(content, lambda value: isinstance(value, torch.Tensor))
    if found is None:
        raise UserError(
            f"{path} holds no dictionary of tensors: neither at its top nor under "
            f"{', '.join(WRAPPERS)}, nor just one under another name."
        )
    tensors, wrapper, others = found
    weights = {}
    for key, value in tensors.items():
        with refused(path, f"file of plain tensors: {key}"):
            value = value.detach()
            is_narrow = value.dtype == torch.bfloat16
            weights[key] = (value.float() if is_narrow else value).numpy()
    return weights, wrapper, others


def choose(
    content: Any, is_tensor: Callable[[Any], bool]
) -> tuple[dict, str, list[str]] | None:
    """The dictionary of tensors that a file's content is or has, where, and others.

    One of `WRAPPERS` comes first (`state_dict` before `state_dict_ema`), then the only
    one that there is. None where there is none, or several under unknown names.
    """

    def holds_tensors(value: Any) -> bool:
        is_dict = isinstance(value, dict) and bool(value)
        return is_dict and all(map(is_tensor, value.values()))

    if holds_tensors(content):
        return content, "", []
    if not isinstance(content, dict):
        return None
    held = {name: value for name, value in content.items() if holds_tensors(value)}
    known = [name for name in WRAPPERS if name in held] or list(held)
    # A wrapper that holds something else, too, is damaged: nothing replaces it.
    is_damaged = any(isinstance(content.get(name), dict) for name in WRAPPERS)
    if not held or (known[0] not in WRAPPERS and (len(held) > 1 or is_damaged)):
        return None
    return held[known[0]], known[0], [str(name) for name in held if name != known[0]]


def import_torch(path: pathlib.Path, doing: str):
    """PyTorch, or a UserError that says what it is needed for."""
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{doing} {path} needs PyTorch (pip install torch); a .safetensors file of "
            "the same weights does not."
        ) from None
    version = torch.__version__.partition("+")[0].split(".")[:2]
    if tuple(map(int, version)) < (2, 6):
        raise UserError(
            f"{doing} {path} safely needs PyTorch 2.6, not {torch.__version__}."
        )
    return torch


def _numpy_scalars() -> list:
    """What unpickling a NumPy number needs: Video-Person-ReID stores its CMC-1 so."""
    scalar = np.float32(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = {type(np.dtype(kind)) for kind in "fdilqI"}
    return [*((scalar, name) for name in names), np.dtype, *dtypes]
