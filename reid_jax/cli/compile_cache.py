"""Compiled programs kept on disk: the second start of a config does not compile."""

import hashlib
import os
import pathlib
import platform

import jax

_MOST_BYTES = 4 * 2**30
_LEAST_SECONDS = 0.1  # what compiles faster is not worth a file


def enable() -> None:
    """Keep programs in `folder()`, the longest unused ones leave when it is full.

    JAX's own variables go before: JAX_COMPILATION_CACHE_DIR names another folder, and
    none when it is empty. A folder that cannot be written costs a warning by JAX, no
    more; a user without a home folder has no cache.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        jax.config.update("jax_compilation_cache_dir", str(folder()))
    except RuntimeError:  # Path.home's
        return
    jax.config.update("jax_compilation_cache_max_size", _MOST_BYTES)


def folder() -> pathlib.Path:
    """Of this user and kind of processor, whose instructions the programs use."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    kind = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return pathlib.Path(cache) / "reid-jax" / f"programs-{kind}"


def _processor() -> str:
    """What tells kinds of processors apart: their name and instructions."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    wanted = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(wanted)}))
