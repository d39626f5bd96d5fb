"""Traces of training steps."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from reid_jax import config_checks
from reid_jax.runs.profiler import Profiler


def _trained(profiler, steps):
    step_fn = jax.jit(lambda x: {"loss": jnp.sin(x).sum()})
    written = []
    for step in steps:
        profiler.begin(step)
        if profiler.end(step, step_fn(jnp.ones(8))):
            written.append(step)
    return written


def test_a_trace_holds_its_steps(tmp_path):
    profiler = Profiler(tmp_path, (2, 3))
    assert _trained(profiler, range(1, 6)) == [3]
    profiler.close()
    assert list(tmp_path.glob("profile/**/*.xplane.pb"))  # TensorBoard's
    (perfetto,) = tmp_path.glob("profile/**/perfetto_trace.json.gz")
    with gzip.open(perfetto, "rt") as file:
        events = json.load(file)["traceEvents"]
    marked = [e for e in events if e.get("name") == "train"]
    assert [str(e["args"]["step_num"]) for e in marked] == ["2", "3"]


def test_without_steps_there_is_no_trace(tmp_path):
    profiler = Profiler(tmp_path, ())
    assert _trained(profiler, range(1, 4)) == []
    profiler.close()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [(3,), (3, 2), (0, 4), (1.5, 3), (1, 2, 3)])
def test_steps_that_are_no_range_are_refused(tiny_config, steps):
    tiny_config.train.profile_steps = steps
    with pytest.raises(ValueError, match=r"config\.train\.profile_steps"):
        config_checks.check_config(tiny_config)
