"""Computes blocks of distances as |x|² + |y|² - 2 x·y, and repairs cancelled pairs.

For any centre c and unit u, with x' = (x - c) / u and y' = (y - c) / u,

    |x - y|² = u² (|x'|² + |y'|² - 2 x'·y'),

which costs one matrix product. Rounding leaves an error of about ε (|x'|² + |y'|²),
where ε is the machine epsilon of the dtype. c is a median: an offset that all rows
share costs no digits, and an outlier costs the other rows none. A pair is *close* if
|x' - y'|² is a small share of |x'|² + |y'|². Its digits have cancelled, and it is
computed again in float64 as Σ (x - y)², which is exactly 0 for equal rows.

u is a power of two near the spread of the rows, and c is rounded to multiples of u.
Rows of small whole numbers therefore stay exact, and equal distances stay equal.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from reid_jax.arrays import Array

METRICS = ("squared_l2", "l2", "cosine")
# A pair is close below this share. Above it, the relative error is about ε / share:
# 1e-5 in float32, 1e-12 in float64.
_CLOSE = {np.float32: 2.0**-5, np.float64: 2.0**-10}
# If more than this part of a block is close, one product in float64 replaces most of
# the single differences, which cost about 100 times as much for each pair. Its results
# are rounded to float32 afterwards, so a smaller share is good enough.
_CROWDED = 1 / 64
_CLOSE_OF_CROWD = 2.0**-20
_MAX_EXPONENT = {np.float32: 100, np.float64: 900}
_SAMPLE = 1024  # number of rows that determine the centre and the unit
_PAIR_VALUES = 2**20  # number of values that are recomputed at a time


class Side(NamedTuple):
    """Rows that `Expansion.prepare` has prepared for `Expansion.block`."""

    rows: Float[np.ndarray, "N D"]  # unchanged
    centred: Float[jax.Array, "N D"]  # x'
    norms: Float[jax.Array, "N"]  # |x'|²
    is_zero: Bool[jax.Array, "N"]  # cosine only: rows without a direction


class Expansion:
    """Computes blocks of distances between any two `Side`s that it has prepared.

    The centre and the unit are determined from `query`. They determine the cost, and
    which embeddings are too large.

    Args:
        query: the query embeddings.
        metric: one of `METRICS`; "cosine" is half the squared L2 distance of the unit
            vectors.
        dtype: float32 or float64.
        close: the share below which a pair is close; 0: the default of the dtype.

    Raises:
        ValueError: an unknown metric, or queries that are not finite.
    """

    def __init__(self, query: np.ndarray, metric: str, dtype, close: float = 0.0):
        if metric not in METRICS:
            raise ValueError(
                f"metric={metric!r} is unknown; known: {', '.join(METRICS)}."
            )
        self.metric = metric
        self.dtype = np.dtype(dtype).type
        self._close = close or _CLOSE[self.dtype]
        _check_finite(query, "query", 0)
        sample = query[:: max(1, len(query) // _SAMPLE)].astype(np.float64)
        if metric == "cosine":
            sample, _ = unit(sample, np)
        centre = np.median(sample, axis=0)
        # The size of a row is its largest entry: no square can overflow.
        largest_entry = np.abs(sample - centre).max(axis=1, initial=0.0)
        spread = np.median(largest_entry) or largest_entry.max()
        largest = _MAX_EXPONENT[self.dtype]
        # Equal rows (perhaps a single row) have no spread: use their size instead.
        size = spread or np.abs(centre).max(initial=0.0) or 1.0
        self._unit = 2.0 ** np.clip(np.ceil(np.log2(size)), -largest, largest)
        if spread:
            centre = np.round(centre / self._unit) * self._unit
        self._centre = centre.astype(self.dtype)
        largest = float(np.finfo(self.dtype).max) / 16
        # Limits |x'|² and also the distances in the original units.
        with np.errstate(over="ignore"):  # inf: `largest` is the smaller limit
            in_units = largest / np.float64(self._unit)
            self._max_norm = {
                "l2": min(largest, in_units**2),
                "squared_l2": min(largest, in_units / self._unit),
                "cosine": largest,
            }[metric]

    def prepare(
        self,
        rows: Array,
        name: str,
        first_row: int = 0,
        sharding: jax.sharding.Sharding | None = None,
    ) -> Side:
        """Centres and scales rows for `block`.

        Args:
            rows: the embeddings.
            name: what errors call them: "query" or "gallery".
            first_row: the number that errors give the first row.
            sharding: which devices hold which rows.

        Raises:
            ValueError: embeddings are not finite, or their squares would not be.
        """
        rows = np.asarray(rows, self.dtype)
        # In float64: rounded to float32, unit vectors with a large common offset would
        # lose the digits in which they differ.
        is_cosine = self.metric == "cosine"
        with precision(np.float64 if is_cosine else self.dtype):
            centred, norms, is_zero = _centre(
                jax.device_put(rows, sharding),
                self._centre,
                self.dtype(1 / self._unit),
                is_cosine,
            )
            largest = float(jnp.max(norms))
        if not largest < self._max_norm:
            _check_finite(rows, name, first_row)
            raise ValueError(
                f"{name} embeddings of up to {np.abs(rows).max():.3g} are too large "
                f"beside queries of about {self._unit:.3g} for distances in "
                f"{rows.dtype}; scale them down or use float64."
            )
        return Side(rows, centred, norms, is_zero)

    def block(self, x: Side, y: Side, size: int = 0) -> Float[Array, "Q G"]:
        """Computes the distances [Q, G] of all pairs.

        `size` rows of `y` (by default all) are repaired together. If the rows of `y`
        are divided among devices, each device computes the distances to its rows. The
        result is a NumPy array if any pair was close.
        """
        with precision(self.dtype):
            distances, is_close, any_close = _expand(
                x.centred,
                y.centred,
                x.norms,
                y.norms,
                x.is_zero,
                y.is_zero,
                self.dtype(self._unit),
                self.dtype(self._close),
                self.metric,
            )
        if not any_close:
            return distances
        distances, is_close = np.array(distances), np.asarray(is_close)
        size = size or len(y.rows)
        for start in range(0, len(y.rows), size):
            part = slice(start, start + size)
            self._repair(distances[:, part], x.rows, y.rows[part], is_close[:, part])
        return distances

    def _repair(self, distances, x, y, is_close: np.ndarray) -> None:
        """Overwrites the distances of the close pairs."""
        num_close = np.count_nonzero(is_close)
        if num_close > _CROWDED * is_close.size:
            distances[is_close] = self._crowd(x, y, is_close)
        elif num_close:
            distances[is_close] = self._differences(x, y, is_close)

    def _crowd(self, x, y, is_close: np.ndarray) -> Float[np.ndarray, "_"]:
        """Computes the distances of many close pairs; equal rows are computed once."""
        x_has_close, y_has_close = is_close.any(axis=1), is_close.any(axis=0)
        x, x_index = _unique_rows(x[x_has_close])
        y, y_index = _unique_rows(y[y_has_close])
        pairs = is_close[np.ix_(x_has_close, y_has_close)]
        if self.dtype == np.float64:
            needed = np.zeros((len(x), len(y)), bool)
            rows, columns = np.nonzero(pairs)
            needed[x_index[rows], y_index[columns]] = True
            block = np.zeros(needed.shape)
            block[needed] = self._differences(x, y, needed)
        else:  # one matrix product in float64
            x, y = x.astype(np.float64), y.astype(np.float64)
            wide = Expansion(x, self.metric, np.float64, _CLOSE_OF_CROWD)
            block = wide.block(wide.prepare(x, "query"), wide.prepare(y, "gallery"))
        return np.asarray(block)[np.ix_(x_index, y_index)][pairs]

    def _differences(self, x, y, is_close: np.ndarray) -> Float[np.ndarray, "_"]:
        """Computes distances of close pairs in float64, from their differences."""
        x_index, y_index = np.nonzero(is_close)
        squares = np.empty(len(x_index))
        if self.metric == "cosine":
            (x, x_index), (y, y_index) = (
                _referenced_rows(x, x_index),
                _referenced_rows(y, y_index),
            )
            x, y = unit(x, np)[0], unit(y, np)[0]
        step = max(1, _PAIR_VALUES // max(1, x.shape[1]))
        for start in range(0, len(x_index), step):
            pairs = slice(start, start + step)
            a, b = (
                s.astype(np.float64) for s in (x[x_index[pairs]], y[y_index[pairs]])
            )
            a -= b
            squares[pairs] = np.einsum("nd,nd->n", a, a)
        if self.metric == "l2":
            return np.sqrt(squares)
        return squares / 2 if self.metric == "cosine" else squares


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distinct rows, and the position of each given row in them."""
    keys = np.ascontiguousarray(rows + 0.0)  # turns -0 into 0
    keys = keys.view(np.dtype((np.void, keys.itemsize * keys.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], inverse


def _referenced_rows(
    rows: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the rows that `index` names, once each in float64, and a new index."""
    unique, inverse = np.unique(index, return_inverse=True)
    return rows[unique].astype(np.float64), inverse


def _check_finite(rows: np.ndarray, name: str, first_row: int) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} {name} embeddings are not finite, the first is row "
            f"{first_row + bad[0]}."
        )


def precision(dtype):
    """Returns a context in which JAX computes in `dtype`."""
    return jax.enable_x64(np.dtype(dtype) == np.float64)


@functools.partial(jax.jit, static_argnums=3)
def _centre(rows, centre, inverse_unit, is_cosine: bool):
    is_zero = jnp.zeros(len(rows), bool)
    dtype = rows.dtype
    if is_cosine:
        rows, is_zero = unit(rows.astype(jnp.float64), jnp)
    centred = ((rows - centre) * inverse_unit).astype(dtype)
    return centred, jnp.sum(centred * centred, axis=1), is_zero


def unit(rows, xp):
    """Returns the rows divided by their norms, and which rows are zero and stay so."""
    # Divide by the largest entry first, so that no square overflows or vanishes.
    largest = xp.max(xp.abs(rows), axis=1, keepdims=True, initial=0.0)
    is_zero = largest == 0
    rows = rows / xp.where(is_zero, 1, largest)
    norms = xp.sqrt(xp.sum(rows * rows, axis=1, keepdims=True))
    return rows / xp.where(is_zero, 1, norms), is_zero[:, 0]


@functools.partial(jax.jit, static_argnums=8)
def _expand(x, y, x_norms, y_norms, x_is_zero, y_is_zero, unit, close, metric: str):
    """Returns distances, which of them have cancelled, and whether any has."""
    norms = x_norms[:, None] + y_norms
    squares = norms - 2 * _products(x, y)
    squares = jnp.where(squares > 0, squares, 0.0)
    # `<=`, so that 0 counts as close: both squares may have underflowed.
    is_close = squares <= close * norms
    if metric == "l2":
        return jnp.sqrt(squares) * unit, is_close, is_close.any()
    squares = squares * unit * unit
    if metric == "squared_l2":
        return squares, is_close, is_close.any()
    is_zero = x_is_zero[:, None] | y_is_zero
    is_close &= ~is_zero
    distances = jnp.where(is_zero, 1.0, jnp.minimum(squares / 2, 2.0))
    return distances, is_close, is_close.any()


def _products(x, y):
    if len(x) == 1:
        # XLA sums a matrix times a vector in another order for some of the rows: equal
        # rows would get unequal distances.
        return _products(jnp.concatenate([x, x]), y)[:1]
    contract = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(x, y, contract, precision=jax.lax.Precision.HIGHEST)
