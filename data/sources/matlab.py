"""Reads integer matrices from MATLAB files of version 5 and of 7.3 (HDF5)."""

import math
import pathlib

import h5py
import numpy as np
import scipy.io

MAX_ENTRIES = 10**8
"""Largest number of entries of a matrix: a hundred times the frames of MARS.

A small file of compressed zeros can claim any number.
"""

_NUMERIC_CLASSES = ("double", "single", "int", "uint", "logical")
"""Beginnings of the names of MATLAB's numeric classes."""

_HDF5 = b"\x89HDF\r\n\x1a\n"


def read_matrix(path: pathlib.Path, key: str, problems: list[str]) -> np.ndarray | None:
    """The integer matrix `key` of a .mat file, or None after adding to `problems`."""
    version = "5"
    try:
        with path.open("rb") as file:
            beginning = file.read(512 + len(_HDF5))
        # MATLAB writes 512 bytes of its own before the HDF5 content.
        if beginning.startswith(_HDF5) or beginning[512:] == _HDF5:
            version = "7.3"
        read = _from_hdf5 if version == "7.3" else _from_version_5
        return _whole_numbers(read(path, key), key)
    except FileNotFoundError:
        reason = "missing"
    except _NoIndexError as error:
        reason = str(error)
    except Exception as error:  # a damaged file can cause any error in a parser
        reason = f"not a readable MATLAB {version} file ({error})"
    problems.append(f"{path.parent.name}/{path.name}: {reason}")
    return None


class _NoIndexError(Exception):
    """A readable file does not hold an index matrix."""


def _from_version_5(path: pathlib.Path, key: str) -> np.ndarray:
    """The matrix `key` of a file of version 5, unchecked for whole numbers."""
    with path.open("rb") as file:
        variables = {
            name: (size, matlab_class)
            for name, size, matlab_class in scipy.io.whosmat(file)
        }
        _check_has_key(key, variables)
        size, matlab_class = variables[key]
        # Cells, structs and objects are refused unread: they can hold anything.
        _check_numbers(key, matlab_class.startswith(_NUMERIC_CLASSES), size)
        file.seek(0)
        return scipy.io.loadmat(file, variable_names=[key])[key]


def _from_hdf5(path: pathlib.Path, key: str) -> np.ndarray:
    """The matrix `key` of a file of version 7.3, unchecked for whole numbers."""
    with h5py.File(path, "r") as file:
        _check_has_key(key, file)
        # Other links may lead to any file of the machine.
        link = file.get(key, getlink=True)
        dataset = file[key] if isinstance(link, h5py.HardLink) else None
        is_plain = isinstance(dataset, h5py.Dataset) and not (
            dataset.external or dataset.is_virtual
        )
        if is_plain:
            # Only MATLAB itself writes this attribute.
            name = dataset.attrs.get("MATLAB_class", b"double")
            name = name.decode() if isinstance(name, bytes) else str(name)
            is_numeric = name.startswith(_NUMERIC_CLASSES)
            is_plain = is_numeric and dataset.dtype.kind in "iuf"
        _check_numbers(key, is_plain, dataset.shape if is_plain else ())
        if dataset.attrs.get("MATLAB_empty", 0):  # the values are then the sizes
            return np.zeros((0, 0))
        return dataset[()].T  # MATLAB stores matrices by columns


def _check_has_key(key: str, variables) -> None:
    """Raises _NoIndexError, which lists the variables, if `key` is not among them."""
    if key not in variables:
        names = ", ".join(variables) or "none"
        raise _NoIndexError(f"no variable {key!r}, only: {names}")


def _check_numbers(key: str, is_numbers: bool, size: tuple[int, ...]) -> None:
    """Raises _NoIndexError unless a variable is a numeric matrix of possible size."""
    if not is_numbers:
        raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
    if math.prod(size) > MAX_ENTRIES:
        raise _NoIndexError(f"{key!r} has {math.prod(size)} entries: no index")


def _whole_numbers(matrix: np.ndarray, key: str) -> np.ndarray:
    """The matrix as int64; _NoIndexError if it has other than whole numbers."""
    if not np.all(matrix == np.floor(matrix)) or not np.all(np.isfinite(matrix)):
        raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
    return matrix.astype(np.int64)
