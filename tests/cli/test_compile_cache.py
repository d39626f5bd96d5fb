"""Programs are compiled once, whoever starts them again."""

import os
import subprocess
import sys

from tests import ROOT

PROGRAM = """
import jax
from tests import ROOT
from reid_jax.cli import compile_cache
compile_cache.enable()
least = jax.config.jax_persistent_cache_min_compile_time_secs
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
counts = {"hits": 0, "misses": 0}
def count(event, **kwargs):
    kind = event.removeprefix("/jax/compilation_cache/cache_")
    if kind in counts:
        counts[kind] += 1
jax.monitoring.register_event_listener(count)
jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((8, 8))).block_until_ready()
print(counts, jax.config.jax_compilation_cache_dir, f"least={least}")
"""


_CACHE = "JAX_COMPILATION", "JAX_PERSISTENT"


def _run(**environment):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(_CACHE)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_second_start_compiles_nothing(tmp_path):
    first = _run(XDG_CACHE_HOME=str(tmp_path))
    assert "'hits': 0" in first and "'misses': 0" not in first
    second = _run(XDG_CACHE_HOME=str(tmp_path))
    assert "'misses': 0" in second and "'hits': 0" not in second
    assert f"{tmp_path}/reid-jax/programs-" in second


def test_users_say_where(tmp_path):
    printed = _run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert str(tmp_path / "own") in printed
    assert "least=0.1" in printed
    name = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    assert "least=3.0" in _run(**{name: "3"}, XDG_CACHE_HOME=str(tmp_path / "home"))
    none = _run(JAX_COMPILATION_CACHE_DIR="", XDG_CACHE_HOME=str(tmp_path))
    assert "'hits': 0, 'misses': 0" in none
    assert not (tmp_path / "reid-jax").exists()


def test_a_folder_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "reid-jax").write_text("a file")
    assert "'hits': 0" in _run(XDG_CACHE_HOME=str(tmp_path))
