"""Stores compiled programs on disk: the second start of a config does not compile."""

import hashlib
import os
import pathlib
import platform

import jax

_MAX_BYTES = 4 * 2**30
_MIN_SECONDS = 0.1  # programs that compile faster are not stored


def enable() -> None:
    """Lets JAX store compiled programs in `folder()`, up to 4 GiB.

    When it is full, JAX deletes the programs that were not used for longest. JAX's
    environment variables take precedence: JAX_COMPILATION_CACHE_DIR names another
    folder, or turns the cache off when it is empty. JAX only warns if the folder cannot
    be written. Without a home folder there is no cache.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _MIN_SECONDS)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        jax.config.update("jax_compilation_cache_dir", str(folder()))
    except RuntimeError:  # Path.home() finds no home folder
        return
    jax.config.update("jax_compilation_cache_max_size", _MAX_BYTES)


def folder() -> pathlib.Path:
    """Cache folder of this user and processor type; programs use its instructions."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    processor = hashlib.sha256(_processor().encode()).hexdigest()[:12]
    return pathlib.Path(cache) / "reid-jax" / f"programs-{processor}"


def _processor() -> str:
    """Text that identifies the processor type: its name and instruction sets."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = ("model name", "flags", "Features")
    return "\n".join(sorted({line for line in lines if line.startswith(fields)}))
