"""Which rows a process reads, and how processes find each other."""

import jax
import numpy as np
import pytest

from reid_jax import parallel


def test_rows_of_a_process_are_those_of_its_devices(monkeypatch):
    mesh = parallel.data_mesh()
    np.testing.assert_array_equal(parallel.local_rows(8, mesh), np.arange(8))

    class Sharding:
        """Of a process that has the second and the fourth of four devices."""

        def __init__(self, *_):
            pass

        def addressable_devices_indices_map(self, shape):
            return {"3": (slice(6, 8),), "1": (slice(2, 4),)}

    monkeypatch.setattr(parallel, "NamedSharding", Sharding)
    np.testing.assert_array_equal(parallel.local_rows(8, mesh), [2, 3, 6, 7])


def test_parts_of_a_batch_are_of_every_device():
    from reid_jax import steps

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


@pytest.mark.parametrize(
    "coordinator", ["nonsense", "host:", ":1", "host:x", "h:99999"]
)
def test_coordinators_that_cannot_be(coordinator):
    with pytest.raises(ValueError, match=f"--coordinator={coordinator} must be HOST:P"):
        parallel.connect(coordinator, 1, 0)


@pytest.mark.parametrize(
    "numbers",
    [
        (None, 2, None),
        ("auto", None, 0),
        ("host:1", None, 0),
        ("host:1", 2, 2),
    ],
)
def test_processes_that_cannot_be_counted(numbers):
    with pytest.raises(ValueError, match="--num_processes"):
        parallel.connect(*numbers)


def test_a_full_device_is_no_lost_process(monkeypatch):
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    lost = jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed")
    assert not parallel.is_lost_peer(lost)  # of a run of one process
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert parallel.is_lost_peer(lost)
    assert not parallel.is_lost_peer(full)
    assert not parallel.is_lost_peer(RuntimeError("Gloo"))
