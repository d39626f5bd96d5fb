"""The nearest entries of rows of distances that arrive block by block."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

GROUP = 16
"""Entries that are looked at together: the rows of a block hold a multiple of it."""
_FEW_GROUPS = 8


def nothing(*shape: int, dtype) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest [..., Q, k], so far, of queries that have met no entry."""
    return np.full(shape, np.inf, dtype), np.zeros(shape, np.int32)


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


@functools.partial(jax.jit, static_argnames="mesh")
def merge_shares(distances, best, position, first, end, mesh: Mesh):
    """As `merge`, on each device of `mesh` for its share of the block's entries.

    `best` and `position` [devices, Q, k] are those of the shares that each device has
    seen. Entries from `end` on do not exist.
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
    """The k nearest of all shares [devices, Q, k]; equal distances by position."""
    k = best.shape[2]
    best, position = (np.concatenate(np.asarray(s), axis=1) for s in (best, position))
    order = np.lexsort((position, best), axis=1)[:, :k]
    return tuple(np.take_along_axis(s, order, axis=1) for s in (best, position))


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
