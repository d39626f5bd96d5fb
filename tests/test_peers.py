"""How the processes of a run find, wait for and tell each other."""

import itertools

import jax
import numpy as np
import pytest

from reid_jax import peers
from reid_jax.errors import UserError
from tests import processes


@pytest.mark.parametrize(
    "coordinator", ["nonsense", "host:", ":1", "host:x", "h:99999"]
)
def test_coordinators_that_cannot_be(coordinator):
    with pytest.raises(ValueError, match=f"--coordinator={coordinator} must be HOST:P"):
        peers.connect(coordinator, 1, 0)


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
        peers.connect(*numbers)


def test_a_full_device_is_no_lost_process(monkeypatch):
    full = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
    lost = jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed")
    assert not peers.is_lost_peer(lost)  # of a run of one process
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert peers.is_lost_peer(lost)
    assert not peers.is_lost_peer(full)
    assert not peers.is_lost_peer(RuntimeError("Gloo"))


def test_a_coordinator_that_does_not_answer(monkeypatch, capsys):
    monkeypatch.setattr(peers, "_CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(peers, "_TELL_SECONDS", 0)
    address = processes.free_address()
    message = rf"--coordinator={address}: no process 0 answers there \("
    with pytest.raises(ValueError, match=message):
        peers.connect(address, 2, 1)
    told = capsys.readouterr().err
    assert told.count(f"no process 0 answers at {address} yet (") == 1


class _Store:
    """The keys and values that processes tell each other."""

    def __init__(self):
        self.values = {}

    def key_value_set(self, name, value):
        assert self.values.setdefault(name, value) == value  # as JAX's refuses others

    def key_value_try_get(self, name):
        if name not in self.values:
            raise jax.errors.JaxRuntimeError("NOT_FOUND")
        return self.values[name]


@pytest.fixture
def as_process(monkeypatch):
    """Makes this process one of two."""
    store = _Store()
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(peers, "_client", lambda: store)
    monkeypatch.setattr(peers, "_BARRIER_SECONDS", 0)
    monkeypatch.setattr(peers, "_ENDING_SECONDS", 0)
    return lambda i: monkeypatch.setattr(jax, "process_index", lambda: i)


@pytest.mark.parametrize(
    ("failed", "named"), [(0, "the first process"), (1, "process 1")]
)
def test_a_failure_is_told(as_process, failed, named):
    as_process(1 - failed)
    peers.check_others()
    as_process(failed)
    with pytest.raises(KeyError), peers.failure_told():
        raise KeyError
    peers._check_others()  # its own
    as_process(1 - failed)
    peers._LastCheck.at = 0
    message = f"{named} has stopped: see what it says"
    with pytest.raises(UserError, match=message), peers.failure_told():
        peers.check_others()
    peers.check_others()  # once a second
    with pytest.raises(UserError, match=message):
        peers._wait_for_value("what it never tells")


def test_the_first_process_does_not_wait_for_one_that_failed(as_process, monkeypatch):
    monkeypatch.setattr(peers, "_meeting_numbers", itertools.count())
    as_process(0)
    peers._client().key_value_set("told/0/1", "3")
    peers._client().key_value_set("failure", "1")  # before it says what it has read
    with pytest.raises(UserError, match="process 1 has stopped"):
        peers.told_by_all(2)


def test_shares_of_pieces():
    assert peers.share_out([5, 1, 3, 3, 9], 2) == [[1, 4], [0, 2, 3]]
    assert peers.share_out([7], 3) == [[0], [], []]
    assert peers.share_out([], 2) == [[], []]


def test_sums_of_all_keep_64_bits(monkeypatch):
    def gathered(words):
        assert words.dtype == np.uint32 and words.nbytes <= 64
        return np.stack([words, words, words])

    numbers = np.arange(10.0).reshape(5, 2) + 2.0**-50
    assert peers.sum_of_all(numbers) is numbers
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    monkeypatch.setattr(peers, "_SUM_BYTES", 100)
    monkeypatch.setattr(peers, "wait_for_all", lambda _: None)
    monkeypatch.setattr(peers.multihost_utils, "process_allgather", gathered)
    np.testing.assert_array_equal(peers.sum_of_all(numbers), 3 * numbers)
    counts = np.array([2**40, 1, 0])
    np.testing.assert_array_equal(peers.sum_of_all(counts), 3 * counts)


_LATE = """
import sys, time
from jax.experimental import multihost_utils
from reid_jax import peers
from reid_jax.cli import ending
from reid_jax.errors import UserError

def main():
    address, process, seconds, seed = sys.argv[1:]
    with ending.one_line_errors(()):
        peers.connect(address, 2, int(process))
        with peers.main_process_first():
            if peers.is_main_process():
                time.sleep(float(seconds))
            print("began", time.monotonic())
        if not peers.is_main_process():
            time.sleep(0.1 * float(seconds))
        peers.wait_for_all("here")
        peers.check_same({"rate": 0.5, "seed": seed}, "configs")
        with peers.main_process_first():
            raise UserError("no place left.")

def time_is_up(*_):
    raise AssertionError("a computation has a time limit")

if float(sys.argv[3]) < 30:  # XLA's, on CPUs
    multihost_utils.broadcast_one_to_all = time_is_up
    multihost_utils.process_allgather = time_is_up
    multihost_utils.sync_global_devices = time_is_up
ending.guard(main)
"""


def _two(*arguments: tuple[str, str]) -> list[str]:
    """Output of two processes that run `_LATE` and end in a line about an error."""
    address = processes.free_address()
    programs = [
        processes.start(
            "-c", _LATE, address, str(process), *own_arguments, JAX_PLATFORMS="cpu"
        )
        for process, own_arguments in enumerate(arguments)
    ]
    printed = processes.end(*programs, status=1)
    assert "Traceback" not in "".join(printed)
    first, second = (float(text.split("began ")[1].split()[0]) for text in printed)
    assert first < second
    return printed


@pytest.mark.parametrize("seconds", ["2", pytest.param("40", marks=pytest.mark.slow)])
def test_others_wait_for_the_first_however_long_it_takes(seconds):
    first, second = _two((seconds, "1"), (seconds, "1"))
    assert first.endswith("-c: no place left.\n")
    assert second.endswith("-c: the first process has stopped: see what it says.\n")


def test_what_differs_between_processes_is_named():
    for seed, text in zip("12", _two(("0", "1"), ("0", "2")), strict=True):
        expected = f"different configs; process {int(seed) - 1} has seed='{seed}'.\n"
        assert text.endswith(expected)
