"""Index matrices of datasets, from MATLAB files of version 5 and of 7.3 (HDF5)."""

import math
import pathlib

import h5py
import numpy as np
import scipy.io

LARGEST = 10**8
"""Entries of a matrix, a hundred times the frames of MARS: a small file of packed zeros
can have any number."""

_NUMBERS = ("double", "single", "int", "uint", "logical")
"""How the names of MATLAB's classes of numbers begin."""

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_matrix(path: pathlib.Path, key: str, problems: list[str]) -> np.ndarray | None:
    """Integer matrix `key` of a .mat file, or None after adding to `problems`."""
    version = "5"
    try:
        with path.open("rb") as file:
            beginning = file.read(512 + len(_HDF5))
        # MATLAB has its own 512 bytes in front.
        if beginning.startswith(_HDF5) or beginning[512:] == _HDF5:
            version = "7.3"
        read = _from_hdf5 if version == "7.3" else _from_version_5
        return _whole_numbers(read(path, key), key)
    except FileNotFoundError:
        reason = "missing"
    except _NoIndexError as error:
        reason = str(error)
    except Exception as error:  # whatever a damaged file leads a parser to
        reason = f"not a readable MATLAB {version} file ({error})"
    problems.append(f"{path.parent.name}/{path.name}: {reason}")
    return None


class _NoIndexError(Exception):
    """A file that can be read and is not what is looked for."""


def _from_version_5(path: pathlib.Path, key: str) -> np.ndarray:
    with path.open("rb") as file:
        held = {name: (size, kind) for name, size, kind in scipy.io.whosmat(file)}
        _check_held(key, held)
        size, kind = held[key]
        # Cells, structs and objects are not even read.
        _check_numbers(key, kind.startswith(_NUMBERS), size)
        file.seek(0)
        return scipy.io.loadmat(file, variable_names=[key])[key]


def _from_hdf5(path: pathlib.Path, key: str) -> np.ndarray:
    with h5py.File(path, "r") as file:
        _check_held(key, file)
        # A link may lead to any other file.
        link = file.get(key, getlink=True)
        stored = file[key] if isinstance(link, h5py.HardLink) else None
        is_plain = isinstance(stored, h5py.Dataset) and not (
            stored.external or stored.is_virtual
        )
        if is_plain:
            kind = stored.attrs.get("MATLAB_class", b"double")  # not by other writers
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            is_plain = kind.startswith(_NUMBERS) and stored.dtype.kind in "iuf"
        _check_numbers(key, is_plain, stored.shape if is_plain else ())
        if stored.attrs.get("MATLAB_empty", 0):  # then the sizes stand for the values
            return np.zeros((0, 0))
        return stored[()].T  # MATLAB goes down the columns


def _check_held(key: str, held) -> None:
    if key not in held:
        found = ", ".join(held) or "none"
        raise _NoIndexError(f"no variable {key!r}, only: {found}")


def _check_numbers(key: str, is_numbers: bool, size: tuple[int, ...]) -> None:
    if not is_numbers:
        raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
    if math.prod(size) > LARGEST:
        raise _NoIndexError(f"{key!r} has {math.prod(size)} entries: no index")


def _whole_numbers(matrix: np.ndarray, key: str) -> np.ndarray:
    if not np.all(matrix == np.floor(matrix)) or not np.all(np.isfinite(matrix)):
        raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
    return matrix.astype(np.int64)
