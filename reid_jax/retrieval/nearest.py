"""The nearest entries of rows of distances that arrive block by block."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

GROUP = 16
"""Entries that are looked at together: the rows of a block hold a multiple of it."""
_FEW_GROUPS = 8


def nothing(num_queries: int, k: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest, so far, of queries that have met no entry."""
    nowhere = np.zeros((num_queries, k), np.int32)
    return np.full((num_queries, k), np.inf, dtype), nowhere


@jax.jit
def merge(distances, best, position, first):
    """The k nearest of `best` and of a block whose entries start at `first`.

    The k nearest entries of a block lie in its k groups of smallest minimum (of equal
    ones the first): each group that is passed over has k better entries before it. Once
    the best are good, a few groups hold all that can still enter them.
    """
    groups = distances.reshape(len(distances), -1, GROUP)
    minima = groups.min(axis=2)
    num_better = jnp.sum(minima < best[:, -1:], axis=1)
    num_groups = groups.shape[1]
    arguments = (groups, minima, best, position, first)
    return jax.lax.cond(
        jnp.max(num_better) <= _FEW_GROUPS,
        functools.partial(_merge_groups, num=min(_FEW_GROUPS, num_groups)),
        functools.partial(_merge_groups, num=min(best.shape[1], num_groups)),
        *arguments,
    )


def _merge_groups(groups, minima, best, position, first, *, num: int):
    num_queries, k = best.shape
    _, chosen = jax.lax.top_k(-minima, num)
    chosen = jnp.sort(chosen, axis=1)[:, :, None]  # ties go to the first: keep order
    found = jnp.take_along_axis(groups, chosen, axis=1).reshape(num_queries, -1)
    found_at = (chosen * GROUP + jnp.arange(GROUP)).reshape(num_queries, -1) + first
    values = jnp.concatenate([best, found], axis=1)
    positions = jnp.concatenate([position, found_at.astype(jnp.int32)], axis=1)
    nearest, order = jax.lax.top_k(-values, k)
    return -nearest, jnp.take_along_axis(positions, order, axis=1)
