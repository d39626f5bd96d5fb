"""Reads and writes files of weights, without ever running code from a file."""

import dataclasses
import json
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
    """The weights of a file, under the file's names."""

    weights: dict[str, np.ndarray]
    wrapper: str = ""
    """Name of the dictionary in the file that holds them, such as "state_dict"."""

    others: tuple[str, ...] = ()
    """Names of weights in the file that are not read, such as "state_dict_ema"."""


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the arrays of a checkpoint file by name.

    Like `read`, without where in the file they are. A `{"state_dict": …}` is unwrapped.
    """
    return read(path).weights


def read(path: str | os.PathLike) -> Checkpoint:
    """Reads a checkpoint file; its format is recognised by its content, not its name.

    PyTorch's files need PyTorch and are read with `weights_only=True`, so that no code
    in the file is run. Arrays of bfloat16 are returned as float32.

    Raises:
        UserError: the file is missing, damaged, of another format, or holds more than
            tensors, numbers and text.
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
    non_numeric = [
        f"{key} ({value.dtype})"
        for key, value in widened.items()
        if value.dtype.kind not in "fiub"
    ]
    if non_numeric:
        raise UserError(f"{path} holds more than numbers: {', '.join(non_numeric)}.")
    return Checkpoint(widened, wrapper, tuple(others))


def read_metadata(path: str | os.PathLike) -> dict[str, str]:
    """Reads the metadata of a `.safetensors` file; empty for other files."""
    if content_kind(path) != "safetensors":
        return {}
    format_name = "safetensors file"
    with refused(path, format_name), safetensors.safe_open(path, "numpy") as file:
        return dict(file.metadata() or {})


def _sort_metadata(content: bytes) -> bytes:
    """Sorts the texts in a safetensors file, whose order is random: equal weights then
    give equal bytes, and the same SHA-256."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # arrays begin at multiples of 8
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def write_checkpoint(
    path: str | os.PathLike,
    weights: Mapping[str, np.ndarray],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes weights in the format of the file's suffix, completely or not at all.

    Args:
        path: the file; `.pth.tar` wraps the weights as `{"state_dict": …}`, as the
            original programs expect.
        weights: arrays by name.
        metadata: texts that only `.safetensors` can store.

    Raises:
        UserError: the suffix is unknown, or the file cannot be written.
    """
    path = pathlib.Path(path)
    contiguous = {key: np.ascontiguousarray(value) for key, value in weights.items()}
    file_format = kind(path)
    if file_format == "torch":
        torch = torch_files.import_torch(path, "Writing")
    try:
        with files.write_whole(path) as unfinished:
            match file_format:
                case "safetensors":
                    # Not save_file: only the owner could read its file.
                    texts = dict(metadata or {})
                    content = safetensors.numpy.save(contiguous, texts)
                    unfinished.write_bytes(_sort_metadata(content))
                case "npz":
                    # Opened here, because np.savez appends .npz to a name in .NPZ.
                    with unfinished.open("wb") as file:
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
    """Format by the file's name: "safetensors", "npz" or "torch"; else UserError."""
    name = os.fspath(path).lower()
    if not name.endswith(SUFFIXES):
        suffixes = ", ".join(SUFFIXES)
        raise UserError(f"{path}: unknown kind of checkpoint; known: {suffixes}.")
    return "torch" if name.endswith(_TORCH_SUFFIXES) else name.rpartition(".")[2]


def content_kind(path: str | os.PathLike) -> str:
    """Format by the file's content, as `kind`; by its name if the content is unclear.

    PyTorch's files often have other suffixes: .pth.tar-60, .ckpt, .bin.
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
"""Bytes that any archive may unpack to, however small it is: three times C3D's size."""


def _refuse_bomb(path: pathlib.Path) -> None:
    """Raises UserError for an archive whose stated sizes are far above its own size.

    Weights hardly compress, zeros do, a thousandfold. No more than the stated sizes is
    read from an archive.
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
                # NumPy's message for such files would advise to unpickle them.
                if file.read(6) != b"\x93NUMPY":
                    raise UserError(f"{name} is no array")
            with archive.open(name) as file:
                if (num_bytes := _stated_bytes(file)) > member.file_size:
                    raise UserError(
                        f"{name} has {member.file_size} bytes, and says it has "
                        f"{num_bytes}"
                    )
            with archive.open(name) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            weights[name.removesuffix(".npy")] = array
        return weights


def _stated_bytes(file) -> int:
    """Bytes that an array needs by its header: NumPy would allocate them unchecked."""
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        read_header = np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    return math.prod(shape) * dtype.itemsize
