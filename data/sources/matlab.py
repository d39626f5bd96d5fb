"""Index matrices of datasets, from MATLAB files."""

import math
import pathlib

import numpy as np
import scipy.io

LARGEST = 10**8
"""Entries of a matrix, a hundred times the frames of MARS: a small file of packed zeros
can have any number."""

_NUMBERS = ("double", "single", "int", "uint", "logical")
"""How the names of MATLAB's classes of numbers begin."""


def read_matrix(path: pathlib.Path, key: str, problems: list[str]) -> np.ndarray | None:
    """Integer matrix `key` of a .mat file, or None after adding to `problems`."""
    try:
        return _whole_numbers(path, key)
    except FileNotFoundError:
        reason = "missing"
    except _NoIndexError as error:
        reason = str(error)
    except Exception as error:  # whatever a damaged file leads scipy's parser to
        reason = f"not a readable MATLAB 5 file ({error})"
    problems.append(f"{path.parent.name}/{path.name}: {reason}")
    return None


class _NoIndexError(Exception):
    """A file that can be read and is not what is looked for."""


def _whole_numbers(path: pathlib.Path, key: str) -> np.ndarray:
    with path.open("rb") as file:
        held = {name: (size, kind) for name, size, kind in scipy.io.whosmat(file)}
        if key not in held:
            found = ", ".join(held) or "none"
            raise _NoIndexError(f"no variable {key!r}, only: {found}")
        size, kind = held[key]
        # Cells, structs and objects are not even read.
        if not kind.startswith(_NUMBERS):
            raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
        if math.prod(size) > LARGEST:
            raise _NoIndexError(f"{key!r} has {math.prod(size)} entries: no index")
        file.seek(0)
        matrix = scipy.io.loadmat(file, variable_names=[key])[key]
    if not np.all(matrix == np.floor(matrix)) or not np.all(np.isfinite(matrix)):
        raise _NoIndexError(f"{key!r} is not a matrix of whole numbers")
    return matrix.astype(np.int64)
