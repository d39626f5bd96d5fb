"""Lines that are printed while a run trains: progress, a warning of a collapse."""

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
    line = "step  5/20  loss   1.25  left 1 min 01 s\n"
    assert capsys.readouterr().out == line
    bar = metric_log.TrainProgress(0, 20, (1, 3))
    bar.note(5, {"loss": 1.25}, seconds_left=61.2)
    assert capsys.readouterr().out == f"run 2/3  {line}"


def test_columns_of_plain_lines_stand_still(capsys):
    bar = metric_log.TrainProgress(0, 400)
    first = {"loss": 12.345, "active_triplets": 1.0, "precision_at_1": 0.03125}
    bar.note(1, first, seconds_left=float("nan"))
    times = {"frames_per_second": 1234.5, "device_waits": 0.0012}
    last = {"loss": 0.041234, "active_triplets": 0.091, "precision_at_1": 1.0} | times
    bar.note(400, last, seconds_left=0.0)
    assert capsys.readouterr().out.splitlines() == [
        "step   1/400  loss   12.3  active_triplets 100.0 %  precision_at_1   3.1 %  "
        "left ?",
        "step 400/400  loss 0.0412  active_triplets   9.1 %  precision_at_1 100.0 %  "
        "left 0.0 s        1,230 frames/s  device_waits   0.1 %",
    ]


def test_a_bar_for_the_run_and_one_for_all(monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with contextlib.closing(metric_log.TrainProgress(4, 16, (1, 4))) as bar:
        assert [task.completed for task in bar._bar.tasks] == [4, 1.25]
        bar.note(8, {"loss": 1.25}, seconds_left=1.0)
        assert [task.completed for task in bar._bar.tasks] == [8, 1.5]
        assert [task.total for task in bar._bar.tasks] == [16, 4]
    with contextlib.closing(metric_log.TrainProgress(0, 0)) as bar:
        assert [task.completed for task in bar._bar.tasks] == [0]


class _Log(metric_log.MetricLog):
    """A log that hands its rows on."""

    def __init__(self, write):
        super().__init__(None, 0)
        self.write = write


def _meter(config, log, bar, *, log_every_steps: int) -> meter.Meter:
    config.train.log_every_steps = log_every_steps
    return meter.build_meter(config, log, bar, lambda step: 1e-3, 20, [])


def test_the_device_waits_while_the_host_does(tiny_config, monkeypatch):
    rows = []
    log = _Log(lambda step, scalars: rows.append(scalars))
    bar = metric_log.TrainProgress(0, 20)
    scalars_of = _meter(tiny_config, log, bar, log_every_steps=3)
    given = iter([0, 5, 6, 10, 14, 16, 18])  # seconds; each step takes 2
    monkeypatch.setattr(meter.time, "perf_counter", lambda: clock.now)
    clock = types.SimpleNamespace(now=0.0)

    def done_after_two_seconds(metrics):
        done = futures.Future()
        done.set_result(clock.now + 2)
        return done

    monkeypatch.setattr(meter, "_when_ready", done_after_two_seconds)
    scalars = {name: jnp.float32(1) for name in ("loss", "triplet", "active_triplets")}
    for step, clock.now in enumerate(map(float, given), start=1):
        scalars_of.add(step, scalars)
    # Three steps are logged when the fourth is given. The clock starts with the first:
    # nothing to do until 5, busy at 6, the third is done at 8.
    assert rows[0]["device_waits"] == pytest.approx(5 / 8)
    assert rows[0]["frames_per_second"] == pytest.approx(2 * 12 / 8)
    # Nothing to do from 8 to 10 and 12 to 14, then a step is done when the next comes.
    assert rows[1]["device_waits"] == pytest.approx(4 / 10)
    assert rows[1]["frames_per_second"] == pytest.approx(3 * 12 / 10)


def test_the_newest_step_is_not_waited_for(tiny_config):
    """Its scalars are read when the next one is given, or at a checkpoint."""
    rows = []
    log = _Log(lambda step, scalars: rows.append(step))
    bar = metric_log.TrainProgress(0, 20)
    scalars_of = _meter(tiny_config, log, bar, log_every_steps=2)
    scalars = {name: jnp.float32(1) for name in ("loss", "triplet", "active_triplets")}
    for step in range(1, 6):
        scalars_of.add(step, scalars)
        assert step not in [row["step"] for row in scalars_of.unlogged]
    assert rows == [2, 4]
    scalars_of.check()
    assert [row["step"] for row in scalars_of.unlogged] == [5]


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
    tiny_config.loss.triplet_weight = weight
    log, bar = metric_log.MetricLog(None, 0), metric_log.TrainProgress(0, 20)
    scalars_of = _meter(tiny_config, log, bar, log_every_steps=1)
    for step in range(1, 13):
        scalars = {"loss": 5.2, "triplet": triplet, "active_triplets": active}
        scalars_of.add(step, {k: jnp.float32(v) for k, v in scalars.items()})
    num_printed = capsys.readouterr().out.count(
        "warning: the triplet loss stays at its margin"
    )
    assert num_printed == warnings
