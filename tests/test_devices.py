"""The same run on one device, on several, and in several processes."""

import json
import signal

import jax
import numpy as np
import pytest
from flax import nnx

from reid_jax import steps
from reid_jax.models import build_model
from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.runs import log as metric_log
from tests import processes

# Three steps multiply float32's rounding by a thousand in so small a network.
FLOAT64 = (
    *("--config.model.dtype=float64", "--config.train.max_steps=3"),
    *("--config.train.eval_every_epochs=1", "--config.eval.noise=1e-3"),
)


@pytest.fixture(scope="module")
def start(walkers_tiny):
    def start_(workdir, num_devices: int, *flags: str):
        return processes.start(
            *processes.TINY,
            *FLOAT64,
            f"--config.data.data_dir={walkers_tiny}",
            f"--workdir={workdir}",
            *flags,
            num_devices=num_devices,
            JAX_ENABLE_X64="1",
        )

    return start_


@pytest.fixture(scope="module")
def one_device(tmp_path_factory, start):
    workdir = tmp_path_factory.mktemp("one")
    processes.end(start(workdir, 1))
    return workdir


def _assert_same_run(workdir, other):
    states = []
    for folder in (workdir, other):
        config = run_folder.load_config(folder)
        saved = checkpoints.Checkpoints(folder)
        assert saved.latest_step() == 3
        with jax.enable_x64(True):
            num_pids = len(run_folder.load_pids(folder))
            model = build_model(config.model, num_pids, rngs=nnx.Rngs(0))
            optimizer = steps.build_optimizer(config, lambda step: 0.0)
            states.append(saved.restore(3, steps.initial_state(model, optimizer)[1]))
    # Parameters and momenta (the sum of the gradients), BatchNorm's statistics.
    for one, two in zip(*map(jax.tree.leaves, states), strict=True):
        scale = max(float(np.abs(np.asarray(one)).max()), 1e-3)
        np.testing.assert_allclose(two, one, rtol=0, atol=1e-5 * scale)
    logs = [
        list(map(json.loads, (folder / "metrics.jsonl").read_text().splitlines()))
        for folder in (workdir, other)
    ]
    for one, two in zip(*logs, strict=True):
        names = one.keys() - {*metric_log.TIMES}
        assert two.keys() - {*metric_log.TIMES} == names
        for name in names:
            assert two[name] == pytest.approx(one[name], rel=1e-5)
    scores = [
        json.loads((folder / "eval" / "walkers-tiny" / "scores.json").read_text())
        for folder in (workdir, other)
    ]
    assert scores[0]["rows"][0]["cmc"] == scores[1]["rows"][0]["cmc"]


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [4, 8])
def test_several_devices_compute_the_run_of_one(
    tmp_path, start, one_device, num_devices
):
    processes.end(start(tmp_path, num_devices))
    _assert_same_run(one_device, tmp_path)


@pytest.mark.slow
def test_parts_of_a_batch_on_several_devices(tmp_path, start):
    frozen = "--config.model.batch_norm=frozen"
    processes.end(start(tmp_path / "one", 1, frozen))
    processes.end(start(tmp_path / "four", 4, frozen, "--config.train.accumulate=2"))
    _assert_same_run(tmp_path / "one", tmp_path / "four")


@pytest.fixture
def start_two(tmp_path, start):
    """Starts both processes of a run, each with flags of its own."""

    def start_(*flags: tuple[str, ...]):
        address = processes.free_address()
        both = (f"--coordinator={address}", "--num_processes=2")
        return [
            start(tmp_path, 2, *both, f"--process_id={i}", *own_flags)
            for i, own_flags in enumerate(flags)
        ]

    return start_


@pytest.mark.slow
def test_two_processes_compute_the_run_of_one(tmp_path, start_two, one_device):
    first, second = processes.end(*start_two((), ()))
    assert "step 3/3" in first and "trained" in first
    assert "step 3/3" not in second
    _assert_same_run(one_device, tmp_path)


@pytest.mark.slow
def test_processes_of_different_configs_are_refused(tmp_path, start_two):
    both = start_two((), ("--config.train.learning_rate=0.5",))
    for printed, rate in zip(processes.end(*both, status=1), (0.05, 0.5), strict=True):
        assert "the processes of this run have different configs" in printed
        assert f"train.learning_rate={rate}" in printed
        assert "Traceback" not in printed
    assert not (tmp_path / "config.json").exists()


@pytest.mark.slow
def test_what_the_first_process_refuses_ends_all(tmp_path, start_two):
    (tmp_path / "lock").mkdir()
    first, second = processes.end(*start_two((), ()), status=1)
    assert "Is a directory" in first
    assert "the first process has stopped: see what it says" in second


@pytest.mark.slow
def test_a_signal_to_one_process_stops_and_saves_both(tmp_path, start_two):
    endless = ("--config.train.max_steps=100000", "--config.train.epochs=100000")
    endless += ("--config.train.eval_every_epochs=100000",)
    first, second = both = start_two(endless, endless)
    processes.wait_for_lines(first, tmp_path / "metrics.jsonl", 3)
    second.send_signal(signal.SIGTERM)
    printed = [process.communicate(timeout=400)[0] for process in both]
    assert "Interrupted: step" in printed[0]
    assert "Traceback" not in printed[0] + printed[1]
    step = checkpoints.Checkpoints(tmp_path).latest_step()
    assert step >= 10 and step % 10 == 0
    assert (first.returncode, second.returncode) == (-signal.SIGINT, -signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize("lost", [0, 1])
def test_a_process_that_is_killed_ends_the_others(tmp_path, start_two, lost):
    endless = ("--config.train.max_steps=100000", "--config.train.epochs=100000")
    endless += ("--config.train.eval_every_epochs=100000",)
    both = start_two(endless, endless)
    log = tmp_path / "metrics.jsonl"
    processes.wait_for_lines(both[0], log, 3)
    both[lost].kill()
    both[lost].communicate()
    left = both[1 - lost]
    printed = left.communicate(timeout=400)[0]
    if left.returncode == 1:
        assert "another process of this run has ended" in printed
        assert "Traceback" not in printed
    else:  # JAX may be first to notice that process 0 is lost, and aborts then
        assert lost == 0 and left.returncode == -signal.SIGABRT
        assert "another task died" in printed


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1)])
def test_resumed_on_another_number_of_devices(
    tmp_path, start, one_device, before, after
):
    flag = "--config.train.max_steps=2"
    processes.end(start(tmp_path, before, flag))
    (resumed,) = processes.end(start(tmp_path, after))
    assert "Resuming" in resumed
    _assert_same_run(one_device, tmp_path)
