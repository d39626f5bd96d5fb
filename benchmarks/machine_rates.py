"""What a device can do at most, measured, and what a compiled program asks of it."""

import dataclasses
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

_ROUNDS = 9


@dataclasses.dataclass(frozen=True)
class MachineRates:
    """Operations a second of a large product, bytes read and written by a copy."""

    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function, and what a call of it needs by XLA's own account.

    `flops` of the function as written, `bytes` that its operations read and write as
    compiled, `memory` in bytes at most, arguments and results included.
    """

    call: Callable
    compile_seconds: float
    flops: float
    bytes: float
    memory: int


def measure(dtype: str) -> MachineRates:
    """Of products in `dtype`; float32 is TF32 on a GPU, as JAX computes it there."""
    on_cpu = jax.default_backend() == "cpu"
    side, num_bytes = (2048, 2**28) if on_cpu else (8192, 2**31)
    # Not ones: a GPU clocks higher on constants.
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(lambda x, y: x @ y)
    # In place: new memory for each copy would take most of the time on a CPU.
    copy = jax.jit(lambda x: x + 1, donate_argnums=0)
    return MachineRates(
        2 * side**3 / _seconds(lambda _: product(matrix, matrix), None),
        2 * num_bytes / _seconds(copy, jnp.zeros(num_bytes // 4)),
    )


def compiled(function, *arguments) -> Program:
    """A jitted function, compiled for arguments like these."""
    lowered = function.lower(*arguments)
    start = time.perf_counter()
    program = lowered.compile()
    seconds = time.perf_counter() - start
    sizes = program.memory_analysis()
    memory = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    memory += sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    return Program(
        program,
        seconds,
        lowered.cost_analysis()["flops"],
        program.cost_analysis()["bytes accessed"],
        memory,
    )


def _seconds(function, value) -> float:
    """Of the fastest call, each with what the one before returned."""
    value = jax.block_until_ready(function(value))  # compiles
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        value = jax.block_until_ready(function(value))
        times.append(time.perf_counter() - start)
    return min(times)  # what can be had, beside what else runs here
