"""Reads weights from PyTorch's files with `weights_only`: code in them is not run."""

import pathlib
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from reid_jax.errors import UserError
from reid_jax.models.refusal import first_sentence, refused

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Names under which training programs store the weights beside other things."""


def read(path: pathlib.Path) -> tuple[dict[str, np.ndarray], str, list[str]]:
    """Reads the weights of a PyTorch file.

    Returns:
        The arrays by name, the name of the dictionary that holds them ("" at the top),
        and the names of other dictionaries of tensors in the file.

    Raises:
        UserError: PyTorch is missing, or the file is damaged, has no dictionary of
            tensors, or holds more than tensors, numbers and text.
    """
    torch = import_torch(path, "Reading")
    try:
        with (
            torch.serialization.safe_globals(_numpy_scalars()),
            warnings.catch_warnings(action="ignore"),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises anything on damaged files
        # Not PyTorch's whole message: it advises to switch the protection off.
        match = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
        reason = (
            f"it needs {match[1]}, which is code and not weights; save its state_dict "
            "alone, where you trust the file"
            if match
            else f"it is damaged or no file of torch.save ({first_sentence(error)})"
        )
        raise UserError(f"{path} was refused: {reason}.") from None
    choice = choose(content, lambda value: isinstance(value, torch.Tensor))
    if choice is None:
        raise UserError(
            f"{path} holds no dictionary of tensors: neither at its top nor under "
            f"{', '.join(WRAPPERS)}, nor just one under another name."
        )
    tensors, wrapper, others = choice
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
    """Chooses the dictionary of tensors in a file's content.

    The content itself is taken if it is such a dictionary, else the one under the first
    of `WRAPPERS`, else the only one under any name.

    Returns:
        The dictionary, its name ("" for the content itself) and the names of other
        dictionaries of tensors. None without any, or with several under other names.
    """

    def holds_tensors(value: Any) -> bool:
        is_dict = isinstance(value, dict) and bool(value)
        return is_dict and all(map(is_tensor, value.values()))

    if holds_tensors(content):
        return content, "", []
    if not isinstance(content, dict):
        return None
    candidates = {
        name: value for name, value in content.items() if holds_tensors(value)
    }
    names = [name for name in WRAPPERS if name in candidates] or list(candidates)
    # A wrapper with other things among its tensors is damaged: no other dictionary may
    # take its place.
    is_damaged = any(isinstance(content.get(name), dict) for name in WRAPPERS)
    if not candidates or (
        names[0] not in WRAPPERS and (len(candidates) > 1 or is_damaged)
    ):
        return None
    name = names[0]
    others = [str(other) for other in candidates if other != name]
    return candidates[name], name, others


def import_torch(path: pathlib.Path, action: str):
    """Imports PyTorch; a UserError says what needs it ("Reading", "Writing")."""
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{action} {path} needs PyTorch (pip install torch); a .safetensors file "
            "of the same weights does not."
        ) from None
    version = torch.__version__.partition("+")[0].split(".")[:2]
    if tuple(map(int, version)) < (2, 6):
        raise UserError(
            f"{action} {path} safely needs PyTorch 2.6, not {torch.__version__}."
        )
    return torch


def _numpy_scalars() -> list:
    """Types that unpickle a NumPy number: Video-Person-ReID stores its CMC-1 as one."""
    scalar = np.float32(0).__reduce__()[0]
    names = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")
    dtypes = {type(np.dtype(code)) for code in "fdilqI"}
    return [*((scalar, name) for name in names), np.dtype, *dtypes]
