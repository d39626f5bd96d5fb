"""Index matrices of datasets, from MATLAB files."""

import pathlib

import numpy as np
import scipy.io


def read_matrix(path: pathlib.Path, key: str, problems: list[str]) -> np.ndarray | None:
    """Integer matrix `key` of a .mat file, or None after adding to `problems`."""
    place = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        problems.append(f"{place}: missing")
        return None
    try:
        content = scipy.io.loadmat(path)
    except Exception as error:  # whatever a damaged file leads scipy's parser to
        problems.append(f"{place}: not a readable MATLAB 5 file ({error})")
        return None
    if key not in content:
        found = ", ".join(name for name in content if not name.startswith("__"))
        problems.append(f"{place}: no variable {key!r}, only: {found or 'none'}")
        return None
    matrix = content[key]
    # Numbers only: cells and structs come out as object arrays.
    if getattr(matrix, "dtype", np.dtype(object)).kind not in "iuf" or not (
        np.all(matrix == np.floor(matrix)) and np.all(np.isfinite(matrix))
    ):
        problems.append(f"{place}: {key!r} is not a matrix of whole numbers")
        return None
    return matrix.astype(np.int64)
