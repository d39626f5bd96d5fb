"""Files of weights, read and written. No code of a file is ever run."""

import contextlib
import math
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Mapping

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from reid_jax import files
from reid_jax.errors import UserError

_TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar", ".pickle", ".tar")
SUFFIXES = (".safetensors", ".npz", *_TORCH_SUFFIXES)

_WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Names under which training programs keep the weights beside other things."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Names and arrays of a checkpoint file as they are, a `{"state_dict": …}` opened.

    `.safetensors` and `.npz` need nothing else; `.pth`, `.pth.tar`, `.pt` and `.pickle`
    need PyTorch and are read with `weights_only=True`: no code of the file is ever run.
    Raises UserError, with the reason, for other files, for damaged ones and for files
    that hold more than tensors, numbers and text.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"No checkpoint file {path}.")
    _refuse_bomb(path)
    read = {"safetensors": _read_safetensors, "npz": _read_npz, "torch": _read_torch}
    weights = read[kind(path)](path)
    if not weights:
        raise UserError(f"{path} holds no weights.")
    widened = {
        key: value.astype(np.float32) if value.dtype == ml_dtypes.bfloat16 else value
        for key, value in weights.items()
    }
    others = [
        f"{key} ({value.dtype})"
        for key, value in widened.items()
        if value.dtype.kind not in "fiub"
    ]
    if others:
        raise UserError(f"{path} holds more than numbers: {', '.join(others)}.")
    return widened


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What the writer of a `.safetensors` file noted in it; empty for other files."""
    if kind(path) != "safetensors":
        return {}
    what = "safetensors file"
    with _refused(path, what), safetensors.safe_open(path, "numpy") as file:
        return dict(file.metadata() or {})


def write_checkpoint(
    path: str | os.PathLike,
    weights: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `weights` in the format that the name of `path` asks for, whole or not.

    `.pth.tar` wraps them as `{"state_dict": …}`, as the original programs expect.
    `metadata` is kept by `.safetensors` only. Raises UserError for an unknown name.
    """
    path = pathlib.Path(path)
    contiguous = {key: np.ascontiguousarray(value) for key, value in weights.items()}
    wanted = kind(path)
    if wanted == "torch":
        torch = _import_torch(path, "Writing")
    try:
        with files.write_whole(path) as unfinished:
            match wanted:
                case "safetensors":
                    # Not save_file: it hides the file from everybody but its owner.
                    noted = dict(metadata or {})
                    unfinished.write_bytes(safetensors.numpy.save(contiguous, noted))
                case "npz":
                    with unfinished.open("wb") as file:  # .NPZ would get a suffix more
                        np.savez(file, **contiguous)
                case _:
                    tensors = {k: torch.tensor(v) for k, v in contiguous.items()}
                    if path.name.endswith(".tar"):
                        tensors = {"state_dict": tensors}
                    torch.save(tensors, unfinished)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or _first_sentence(error)
        raise UserError(f"{path} could not be written: {reason}.") from None


def kind(path: str | os.PathLike) -> str:
    """ "safetensors", "npz" or "torch", by the file's name; UserError for others."""
    name = os.fspath(path).lower()
    if not name.endswith(SUFFIXES):
        known = ", ".join(SUFFIXES)
        raise UserError(f"{path}: unknown kind of checkpoint; known: {known}.")
    return "torch" if name.endswith(_TORCH_SUFFIXES) else name.rpartition(".")[2]


@contextlib.contextmanager
def _refused(path: pathlib.Path, what: str):
    """Whatever a damaged file leads its parser to becomes one UserError."""
    try:
        yield
    except Exception as error:
        reason = _first_sentence(error)
        raise UserError(
            f"{path} was refused: it is damaged or no {what} ({reason})."
        ) from None


_LARGEST_UNPACKED = 2**30
"""Bytes that a packed file may become however small it is: three times C3D's."""


def _refuse_bomb(path: pathlib.Path) -> None:
    """Raise UserError for an archive that says it unpacks to far more than it is.

    Weights hardly shrink; zeros do, a thousandfold. The sizes that an archive states
    bound what is read of it.
    """
    if not zipfile.is_zipfile(path):
        return
    with _refused(path, "archive"), zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if unpacked > max(_LARGEST_UNPACKED, 10 * packed):
        raise UserError(
            f"{path} was refused: its {packed} bytes would unpack to {unpacked}."
        )


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    with _refused(path, "safetensors file that NumPy has types for"):
        return safetensors.numpy.load_file(path)


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with _refused(path, "archive of arrays alone"), zipfile.ZipFile(path) as archive:
        weights = {}
        for member in archive.infolist():
            name = member.filename
            with archive.open(name) as file:
                # What NumPy says of other files is advice to unpickle them.
                if file.read(6) != b"\x93NUMPY":
                    raise UserError(f"{name} is no array")
            with archive.open(name) as file:
                if (stated := _stated_bytes(file)) > member.file_size:
                    raise UserError(
                        f"{name} has {member.file_size} bytes and says it has {stated}"
                    )
            with archive.open(name) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            weights[name.removesuffix(".npy")] = array
        return weights


def _stated_bytes(file) -> int:
    """What an array's header says it takes: NumPy would allocate that at once."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return math.prod(shape) * dtype.itemsize


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    torch = _import_torch(path, "Reading")
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
            else f"it is damaged or no file of torch.save ({_first_sentence(error)})"
        )
        raise UserError(f"{path} was refused: {reason}.") from None
    for name in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = isinstance(content, dict) and all(
        isinstance(value, torch.Tensor) for value in content.values()
    )
    if not tensors or not content:
        raise UserError(
            f"{path} holds no dictionary of tensors, neither by itself nor under "
            f"{', '.join(_WRAPPERS)}."
        )
    weights = {}
    for key, value in content.items():
        with _refused(path, f"file of plain tensors: {key}"):
            value = value.detach()
            is_narrow = value.dtype == torch.bfloat16
            weights[key] = (value.float() if is_narrow else value).numpy()
    return weights


def _import_torch(path: pathlib.Path, doing: str):
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


def _first_sentence(error: Exception) -> str:
    """What PyTorch has to say, without its advice."""
    lines = str(error).splitlines() or [type(error).__name__]
    said = lines[0].split(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {said}" if len(said) < 8 else said
