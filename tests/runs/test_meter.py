"""What is said while a run trains: progress, and a warning of a collapse."""

import contextlib
import sys
import types
from concurrent import futures

import jax.numpy as jnp
import pytest

from reid_jax.runs import log as metric_log
from reid_jax.runs import meter


def test_progress_in_plain_lines(capsys):
    bar = metric_log.TrainProgress(0, 20)
    bar.advance(5)
    bar.note(5, {"loss": 1.25}, seconds_left=61.2)
    assert capsys.readouterr().out == "step 5/20  loss 1.25  left 61 s\n"
    bar = metric_log.TrainProgress(0, 20, (1, 3))
    bar.note(5, {"loss": 1.25}, seconds_left=61.2)
    assert capsys.readouterr().out == "run 2/3  step 5/20  loss 1.25  left 61 s\n"


def test_a_bar_for_the_run_and_one_for_all(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with contextlib.closing(metric_log.TrainProgress(4, 16, (1, 4))) as bar:
        assert [task.completed for task in bar._bar.tasks] == [4, 1.25]
        bar.note(8, {"loss": 1.25}, seconds_left=1.0)
        assert [task.completed for task in bar._bar.tasks] == [8, 1.5]
        assert [task.total for task in bar._bar.tasks] == [16, 4]
    with contextlib.closing(metric_log.TrainProgress(0, 0)) as bar:
        assert [task.completed for task in bar._bar.tasks] == [0]


def test_the_device_waits_while_the_host_does(tiny_config, monkeypatch):
    tiny_config.train.log_every_steps = 3
    rows = []
    log = types.SimpleNamespace(write=lambda step, scalars: rows.append(scalars))
    bar = metric_log.TrainProgress(0, 20)
    scalars_of = meter.Meter(tiny_config, lambda step: 1e-3, log, bar, 20, [])
    given = iter([0, 5, 6, 10, 12, 14])  # seconds; each step takes 2
    monkeypatch.setattr(meter.time, "perf_counter", lambda: clock.now)
    clock = types.SimpleNamespace(now=0.0)

    def done_after_two_seconds(metrics):
        done = futures.Future()
        done.set_result(clock.now + 2)
        return done

    monkeypatch.setattr(meter, "_when_ready", done_after_two_seconds)
    scalars = {name: jnp.float32(1) for name in ("loss", "triplet", "active_triplets")}
    for step, clock.now in enumerate(given, start=1):
        scalars_of.add(step, scalars)
    # The clock starts with the first step: nothing to do until 5, busy at 6.
    assert rows[0]["device_waits"] == pytest.approx(5 / 6)
    assert rows[0]["frames_per_second"] == pytest.approx(2 * 12 / 6)
    # Nothing to do from 6 to 10, then a step is done when the next one comes.
    assert rows[1]["device_waits"] == pytest.approx(4 / 8)


def test_a_step_that_fails_says_why(monkeypatch):
    def fail(arrays):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(meter.jax, "block_until_ready", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        meter._when_ready({}).result(timeout=60)


@pytest.mark.parametrize(
    ("triplet", "active", "weight", "warnings"),
    [(0.302, 1.0, 1.0, 1), (0.31, 1.0, 1.0, 0), (0.3, 0.9, 1.0, 0), (0.3, 1.0, 0.0, 0)],
)
def test_a_collapse_is_said_once(
    tiny_config, capsys, triplet, active, weight, warnings
):
    tiny_config.train.log_every_steps = 1
    tiny_config.loss.triplet_weight = weight
    log, bar = metric_log.MetricLog(None, 0), metric_log.TrainProgress(0, 20)
    scalars_of = meter.Meter(tiny_config, lambda step: 1e-3, log, bar, 20, [])
    for step in range(1, 13):
        scalars = {"loss": 5.2, "triplet": triplet, "active_triplets": active}
        scalars_of.add(step, {k: jnp.float32(v) for k, v in scalars.items()})
    said = capsys.readouterr().out.count(
        "warning: the triplet loss stays at its margin"
    )
    assert said == warnings
