"""Files of weights, read and written. No code of a file is ever run."""

import dataclasses
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping

import ml_dtypes
import numpy as np
import safetensors
import safetensors.numpy

from reid_jax import files
from reid_jax.errors import UserError
from reid_jax.models import torch_files
from reid_jax.models.refusal import first_sentence, refused

_TORCH_SUFFIXES = (".pth", ".pt", ".pth.tar", ".pickle", ".tar")
SUFFIXES = (".safetensors", ".npz", *_TORCH_SUFFIXES)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """Names and arrays of a file as they are."""

    weights: dict[str, np.ndarray]
    wrapper: str = ""
    """The name in the file under which they are: "state_dict", say; or none."""

    others: tuple[str, ...] = ()
    """Names of other weights in the file, which are not read: "state_dict_ema"."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Names and arrays of a checkpoint file as they are, a `{"state_dict": …}` opened.

    As `read`, without where in the file they are.
    """
    return read(path).weights


def read(path: str | os.PathLike) -> Checkpoint:
    """What a checkpoint file holds; its content says what kind it is, not its name.

    Files of safetensors and NumPy need nothing else; those of PyTorch need it and are
    read with `weights_only=True`: no code of the file is ever run.
    Raises UserError, with the reason, for other files, for damaged ones and for files
    that hold more than tensors, numbers and text.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"No checkpoint file {path}.")
    _refuse_bomb(path)
    wrapper, others = "", []
    match content_kind(path):
        case "safetensors":
            weights = _read_safetensors(path)
        case "npz":
            weights = _read_npz(path)
        case _:
            weights, wrapper, others = torch_files.read(path)
    if not weights:
        raise UserError(f"{path} holds no weights.")
    widened = {
        key: value.astype(np.float32) if value.dtype == ml_dtypes.bfloat16 else value
        for key, value in weights.items()
    }
    strange = [
        f"{key} ({value.dtype})"
        for key, value in widened.items()
        if value.dtype.kind not in "fiub"
    ]
    if strange:
        raise UserError(f"{path} holds more than numbers: {', '.join(strange)}.")
    return Checkpoint(widened, wrapper, tuple(others))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """What the writer of a `.safetensors` file noted in it; empty for other files."""
    if content_kind(path) != "safetensors":
        return {}
    what = "safetensors file"
    with refused(path, what), safetensors.safe_open(path, "numpy") as file:
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
        torch = torch_files.import_torch(path, "Writing")
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
        reason = getattr(error, "strerror", None) or first_sentence(error)
        raise UserError(f"{path} could not be written: {reason}.") from None


def kind(path: str | os.PathLike) -> str:
    """ "safetensors", "npz" or "torch", by the file's name; UserError for others."""
    name = os.fspath(path).lower()
    if not name.endswith(SUFFIXES):
        known = ", ".join(SUFFIXES)
        raise UserError(f"{path}: unknown kind of checkpoint; known: {known}.")
    return "torch" if name.endswith(_TORCH_SUFFIXES) else name.rpartition(".")[2]


def content_kind(path: str | os.PathLike) -> str:
    """As `kind`, by what a file holds; by its name where that does not tell.

    Files of PyTorch are called .pth.tar-60, .ckpt or .bin as well.
    """
    with open(path, "rb") as file:
        beginning = file.read(9)
    header_bytes = int.from_bytes(beginning[:8], "little")
    if beginning[8:] == b"{" and header_bytes <= os.path.getsize(path) - 8:
        return "safetensors"
    if beginning.startswith(b"\x80"):  # a pickle
        return "torch"
    if zipfile.is_zipfile(path):
        with refused(path, "archive"), zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return "torch"
        if names and all(name.endswith(".npy") for name in names):
            return "npz"
    try:
        return kind(path)
    except UserError:
        raise UserError(
            f"{path}: neither its content nor its name is one of a checkpoint; known: "
            f"{', '.join(SUFFIXES)}."
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
    with refused(path, "archive"), zipfile.ZipFile(path) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if unpacked > max(_LARGEST_UNPACKED, 10 * packed):
        raise UserError(
            f"{path} was refused: its {packed} bytes would unpack to {unpacked}."
        )


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    with refused(path, "safetensors file that NumPy has types for"):
        return safetensors.numpy.load_file(path)


def _read_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    with refused(path, "archive of arrays alone"), zipfile.ZipFile(path) as archive:
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
