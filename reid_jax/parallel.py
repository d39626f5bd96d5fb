"""The one data-parallel mechanism: a 1-D mesh, batches sharded, state replicated.

Losses and BatchNorm are written for the whole batch; under `jax.jit` over this mesh
they stay so, and N devices compute what one device computes.
"""

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh() -> Mesh:
    """All devices along one axis, "data"."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_divisible(num_clips: int, mesh: Mesh | AbstractMesh, field: str) -> None:
    """Raise ValueError when a batch of `num_clips` cannot be shared out evenly."""
    if num_clips % mesh.size:
        below = num_clips - num_clips % mesh.size
        nearest = [n for n in (below, below + mesh.size) if n > 0]
        raise ValueError(
            f"{field} gives {num_clips} clips a batch, which {mesh.size} devices "
            f"cannot share evenly; the nearest that they can: {nearest}."
        )


def shard(batch, mesh: Mesh):
    """A host array, or a dictionary of them, split along its first axis."""
    return jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))


def replicate(tree, mesh: Mesh):
    """A pytree of arrays, whole on every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))
