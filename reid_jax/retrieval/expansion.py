"""The block behind every distance: |x|² + |y|² - 2 x·y, repaired where it cancels.

For any centre c and unit u, with x' = (x - c) / u and y' = (y - c) / u,

    |x - y|² = u² (|x'|² + |y'|² - 2 x'·y'),

whose cost is one matrix product. Rounding leaves an error of about ε (|x'|² + |y'|²),
ε that of the dtype. c is a median, so that an offset that all rows share costs no
digits, and an outlier none of the others. A pair is *close* where |x' - y'|² is a small
share of |x'|² + |y'|²: its digits have cancelled, and it is computed again in float64
as Σ (x - y)², exactly 0 for equal rows.

u is a power of two near the spread of the rows, and c is rounded to multiples of it:
rows of small whole numbers stay exact, so that equal distances stay equal.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from reid_jax.arrays import Array

METRICS = ("squared_l2", "l2", "cosine")
# Below this share a pair is close. Above it the relative error is some ε / share:
# 1e-5 in float32, 1e-12 in float64.
_CLOSE = {np.float32: 2.0**-5, np.float64: 2.0**-10}
# Where more than this part of a block is close, one product in float64 stands for most
# of the single differences (about 100 times the cost for each pair). Its results are
# rounded to float32 afterwards, so that a smaller share is good enough.
_CROWDED = 1 / 64
_CLOSE_OF_CROWD = 2.0**-20
_MAX_EXPONENT = {np.float32: 100, np.float64: 900}
_SAMPLE = 1024  # rows that the centre and the unit are taken from
_PAIR_VALUES = 2**20  # values of recomputed pairs at a time


class Side(NamedTuple):
    """Rows made ready for `Expansion.block`."""

    rows: Float[np.ndarray, "N D"]  # as they came
    centred: Float[jax.Array, "N D"]  # x'
    norms: Float[jax.Array, "N"]  # |x'|²
    is_zero: Bool[jax.Array, "N"]  # without a direction (cosine only)


class Expansion:
    """Blocks of distances by `metric`; any two `Side`s it prepared fit each other.

    "cosine" is half the squared L2 distance of the unit vectors. The centre and the
    unit come from `query`; they decide about the cost, and which sizes are too large.
    Raises ValueError for an unknown metric and queries that are not finite.
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
        # By the largest entry of each row first: no square then overflows.
        largest_entry = np.abs(sample - centre).max(axis=1, initial=0.0)
        spread = np.median(largest_entry) or largest_entry.max()
        largest = _MAX_EXPONENT[self.dtype]
        # Equal rows, a single one perhaps, have no spread: their size will do.
        size = spread or np.abs(centre).max(initial=0.0) or 1.0
        self._unit = 2.0 ** np.clip(np.ceil(np.log2(size)), -largest, largest)
        if spread:
            centre = np.round(centre / self._unit) * self._unit
        self._centre = centre.astype(self.dtype)
        largest = float(np.finfo(self.dtype).max) / 16
        # Of |x'|² and, in the units they came in, of the distances.
        with np.errstate(over="ignore"):  # then the first of the two is smaller
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
        """`rows`, called `name` in errors, from row `first_row` of the whole.

        `sharding` says which devices hold which rows.

        Raises ValueError for embeddings that are not finite, or so large that their
        squares are not.
        """
        rows = np.asarray(rows, self.dtype)
        # Rounded to float32, unit vectors would have lost what a common offset hides.
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
        """Distances of all pairs; the array is a NumPy one where some were close.

        `size` rows of `y` (all by default) are repaired together. Where the devices
        share the rows of `y`, each computes the distances to its own.
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
        """Distances of the close pairs, each of their different rows once."""
        of_x, of_y = is_close.any(axis=1), is_close.any(axis=0)
        x, in_x = _different(x[of_x])
        y, in_y = _different(y[of_y])
        pairs = is_close[np.ix_(of_x, of_y)]
        if self.dtype == np.float64:
            needed = np.zeros((len(x), len(y)), bool)
            rows, columns = np.nonzero(pairs)
            needed[in_x[rows], in_y[columns]] = True
            block = np.zeros(needed.shape)
            block[needed] = self._differences(x, y, needed)
        else:  # by an expansion in float64
            x, y = x.astype(np.float64), y.astype(np.float64)
            wide = Expansion(x, self.metric, np.float64, _CLOSE_OF_CROWD)
            block = wide.block(wide.prepare(x, "query"), wide.prepare(y, "gallery"))
        return np.asarray(block)[np.ix_(in_x, in_y)][pairs]

    def _differences(self, x, y, is_close: np.ndarray) -> Float[np.ndarray, "_"]:
        """Distances of the close pairs from their differences, in float64."""
        of_x, of_y = np.nonzero(is_close)
        squares = np.empty(len(of_x))
        if self.metric == "cosine":
            (x, of_x), (y, of_y) = _needed(x, of_x), _needed(y, of_y)
            x, y = unit(x, np)[0], unit(y, np)[0]
        step = max(1, _PAIR_VALUES // max(1, x.shape[1]))
        for start in range(0, len(of_x), step):
            pairs = slice(start, start + step)
            a, b = (s.astype(np.float64) for s in (x[of_x[pairs]], y[of_y[pairs]]))
            a -= b
            squares[pairs] = np.einsum("nd,nd->n", a, a)
        if self.metric == "l2":
            return np.sqrt(squares)
        return squares / 2 if self.metric == "cosine" else squares


def _different(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows without repetitions, and where each of the given ones is."""
    keys = np.ascontiguousarray(rows + 0.0)  # -0 is 0
    keys = keys.view(np.dtype((np.void, keys.itemsize * keys.shape[1])))[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], inverse


def _needed(rows: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that `index` names, each once in float64, and where each is."""
    needed, inverse = np.unique(index, return_inverse=True)
    return rows[needed].astype(np.float64), inverse


def _check_finite(rows: np.ndarray, name: str, first_row: int) -> None:
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{len(bad)} {name} embeddings are not finite, the first is row "
            f"{first_row + bad[0]}."
        )


def precision(dtype):
    """The context in which JAX computes in `dtype`."""
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
    """Rows over their norms, and which of them are zero (and stay so)."""
    # By the largest entry first: the squares then neither overflow nor vanish.
    largest = xp.max(xp.abs(rows), axis=1, keepdims=True, initial=0.0)
    is_zero = largest == 0
    rows = rows / xp.where(is_zero, 1, largest)
    norms = xp.sqrt(xp.sum(rows * rows, axis=1, keepdims=True))
    return rows / xp.where(is_zero, 1, norms), is_zero[:, 0]


@functools.partial(jax.jit, static_argnums=8)
def _expand(x, y, x_norms, y_norms, x_is_zero, y_is_zero, unit, close, metric: str):
    """Distances, which of them have cancelled, and whether any has."""
    norms = x_norms[:, None] + y_norms
    squares = norms - 2 * _products(x, y)
    squares = jnp.where(squares > 0, squares, 0.0)
    # At 0 as well: the squares of both may have been too small.
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
        # A matrix times a vector is summed in another order for some of the rows, and
        # equal rows would come out unequal.
        return _products(jnp.concatenate([x, x]), y)[:1]
    contract = (((1,), (1,)), ((), ()))
    return jax.lax.dot_general(x, y, contract, precision=jax.lax.Precision.HIGHEST)
