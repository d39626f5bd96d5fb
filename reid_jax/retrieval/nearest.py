"""Keeps the nearest entries of each query while distances arrive block by block."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

GROUP = 16
"""Number of entries in a group; the rows of a block hold whole groups."""
_FEW_GROUPS = 8


def nothing(*shape: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Returns the initial distances (infinite) and positions [..., Q, k]."""
    return np.full(shape, np.inf, dtype), np.zeros(shape, np.int32)


@jax.jit
def merge(distances, best, position, first):
    """Merges the k nearest so far with a block whose entries start at `first`.

    The k nearest entries of a block lie in the k groups with the smallest minima (the
    first groups, if minima are equal): for every other group, k entries are better.
    After some blocks, only a few groups hold entries that can improve the result, and
    only those are merged.
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


@functools.partial(jax.jit, static_argnames="mesh")
def merge_shares(distances, best, position, first, end, mesh: Mesh):
    """Like `merge`, but each device of `mesh` merges its share of the block's entries.

    `best` and `position` [devices, Q, k] hold the nearest entries of the shares that
    each device has seen. Entries from `end` on are padding.
    """

    def of_device(distances, best, position, first, end):
        first += jax.lax.axis_index("data") * distances.shape[1]
        exists = first + jnp.arange(distances.shape[1]) < end
        distances = jnp.where(exists, distances, jnp.inf)
        merged = merge(distances, best[0], position[0], first)
        return jax.tree.map(lambda share: share[None], merged)

    mapped = jax.shard_map(
        of_device,
        mesh=mesh,
        in_specs=(P(None, "data"), P("data"), P("data"), P(), P()),
        out_specs=P("data"),
    )
    return mapped(distances, best, position, first, end)


def join_shares(best, position) -> tuple[np.ndarray, np.ndarray]:
    """Merges the k nearest of all shares [devices, Q, k]; ties go by position."""
    k = best.shape[2]
    best, position = (np.concatenate(np.asarray(s), axis=1) for s in (best, position))
    order = np.lexsort((position, best), axis=1)[:, :k]
    return tuple(np.take_along_axis(s, order, axis=1) for s in (best, position))


def _merge_groups(groups, minima, best, position, first, *, num: int):
    num_queries, k = best.shape
    _, chosen = jax.lax.top_k(-minima, num)
    chosen = jnp.sort(chosen, axis=1)[:, :, None]  # ties go to the first entry
    candidates = jnp.take_along_axis(groups, chosen, axis=1).reshape(num_queries, -1)
    candidate_positions = (chosen * GROUP + jnp.arange(GROUP)).reshape(
        num_queries, -1
    ) + first
    values = jnp.concatenate([best, candidates], axis=1)
    positions = jnp.concatenate(
        [position, candidate_positions.astype(jnp.int32)], axis=1
    )
    nearest, order = jax.lax.top_k(-values, k)
    return -nearest, jnp.take_along_axis(positions, order, axis=1)
