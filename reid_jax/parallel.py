"""Data parallelism: a 1-D mesh of devices, batches sharded over it, state replicated.

Losses and BatchNorm are written for the whole batch. Under `jax.jit` over this mesh
they see all of it. N devices, in one process or several, therefore compute what one
device computes. `peers` sends the messages between processes.
"""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from reid_jax.errors import UserError


def data_mesh() -> Mesh:
    """Returns a mesh of all devices, along the axis "data"."""
    return mesh_of(jax.devices())


def local_mesh() -> Mesh:
    """Returns a mesh of the devices of this process, along the axis "data"."""
    return mesh_of(jax.local_devices())


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """Returns a mesh of these devices, along the axis "data"."""
    return jax.make_mesh(
        (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
    )


def check_divisible(num_clips: int, mesh: Mesh | AbstractMesh, field: str) -> None:
    """Raises a UserError if `num_clips` cannot be divided evenly among the devices.

    `field` is what the message calls the batch size.
    """
    if num_clips % mesh.size:
        below = num_clips - num_clips % mesh.size
        nearest = [n for n in (below, below + mesh.size) if n > 0]
        raise UserError(
            f"{field} gives {num_clips} clips a batch, which {mesh.size} devices "
            f"cannot share evenly; the nearest that they can: {nearest}."
        )


def local_rows(num_clips: int, mesh: Mesh) -> Int[np.ndarray, "_"]:
    """Returns the rows of a batch that this process reads: those on its devices."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    slices = sharding.addressable_devices_indices_map((num_clips,)).values()
    return np.sort(np.concatenate([np.arange(num_clips)[rows] for (rows,) in slices]))


def shard(batch, mesh: Mesh):
    """Combines the local rows of all processes into one batch, sharded over `mesh`.

    `batch` is an array or a pytree of arrays with the rows of `local_rows`. Global
    arrays are returned unchanged.
    """
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    if not mesh.is_multi_process:
        return jax.device_put(batch, sharding)

    def joined(rows):
        if isinstance(rows, jax.Array) and not rows.is_fully_addressable:
            return rows
        return jax.make_array_from_process_local_data(sharding, rows)

    return jax.tree.map(joined, batch)


def replicate(tree, mesh: Mesh):
    """Copies a pytree of arrays to every device."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def gather(array: jax.Array, mesh: Mesh) -> jax.Array:
    """Returns a sharded array in a form that every process can read completely."""
    if not mesh.is_multi_process:
        return array
    return _gatherer(mesh)(array)


@functools.cache
def _gatherer(mesh: Mesh):
    """Returns the jitted copy to all devices; cached, so that it compiles once."""
    return jax.jit(
        lambda rows: rows, out_shardings=NamedSharding(mesh, PartitionSpec())
    )
