"""Batches on the devices of a mesh."""

import jax
import numpy as np
import pytest

from reid_jax import parallel, steps


def test_rows_of_a_process_are_those_of_its_devices(monkeypatch):
    mesh = parallel.data_mesh()
    np.testing.assert_array_equal(parallel.local_rows(8, mesh), np.arange(8))

    class Sharding:
        """The process has the second and the fourth of four devices."""

        def __init__(self, *_):
            pass

        def addressable_devices_indices_map(self, shape):
            return {"3": (slice(6, 8),), "1": (slice(2, 4),)}

    monkeypatch.setattr(parallel, "NamedSharding", Sharding)
    np.testing.assert_array_equal(parallel.local_rows(8, mesh), [2, 3, 6, 7])


def test_parts_of_a_batch_are_of_every_device():
    parts = steps._split({"x": np.arange(16)}, 2)["x"]
    # Of two devices with rows 0-7 and 8-15 each part has half of both.
    np.testing.assert_array_equal(parts[0], np.arange(0, 16, 2))
    np.testing.assert_array_equal(steps._join(parts), np.arange(16))


def test_a_batch_that_devices_cannot_share():
    mesh = jax.sharding.AbstractMesh((3,), ("data",))
    parallel.check_divisible(6, mesh, "P*K")
    with pytest.raises(ValueError, match=r"P\*K gives 8 clips.*3 devices.*\[6, 9\]"):
        parallel.check_divisible(8, mesh, "P*K")


def test_gathering_is_compiled_once():
    mesh = parallel.data_mesh()
    assert parallel._gatherer(mesh) is parallel._gatherer(parallel.data_mesh())
    rows = jax.numpy.arange(4.0)
    np.testing.assert_array_equal(parallel._gatherer(mesh)(rows), rows)
