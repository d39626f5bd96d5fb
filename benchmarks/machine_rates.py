"""Measures a device's highest rates, and counts the work of a compiled program."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from benchmarks import measuring

_ROUNDS = 9


@dataclasses.dataclass(frozen=True)
class MachineRates:
    """Operations a second of a large product, bytes read and written by a copy."""

    flops: float
    bytes: float


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function, and the work of a call by XLA's count.

    `flops` of the function as written, `bytes` that its operations read and write as
    compiled, `memory` in bytes at most, arguments and results included.
    """

    call: Callable
    compile_seconds: float
    flops: float
    bytes: float
    memory: int


def measure(dtype: str) -> MachineRates:
    """Rates of products in `dtype`; float32 is TF32 on a GPU, as JAX computes there."""
    on_cpu = jax.default_backend() == "cpu"
    side, num_bytes = (2048, 2**28) if on_cpu else (8192, 2**31)
    # Not ones: a GPU clocks higher on constants.
    matrix = jax.random.normal(jax.random.key(0), (side, side), dtype)
    # Of arguments: XLA computes a product of constants once, as it compiles.
    multiply = jax.jit(lambda x, y: x @ y)
    # In place: new memory for each copy would take most of the time on a CPU.
    copy = jax.jit(lambda x: x + 1, donate_argnums=0)
    flops = 2 * side**3 / _fastest(lambda _: multiply(matrix, matrix), None)
    return MachineRates(
        flops, 2 * num_bytes / _fastest(copy, jnp.zeros(num_bytes // 4))
    )


def _fastest(function: Callable, value) -> float:
    """Seconds of the fastest call; each call gets the result of the one before."""

    def call() -> None:
        nonlocal value
        value = jax.block_until_ready(function(value))

    call()  # compiles
    return min(measuring.seconds(call) for _ in range(_ROUNDS))


def compiled(function, *arguments) -> Program:
    """A jitted function, compiled for arguments like these."""
    lowered, programs = function.lower(*arguments), []
    seconds = measuring.seconds(lambda: programs.append(lowered.compile()))
    sizes = programs[0].memory_analysis()
    memory = sizes.argument_size_in_bytes + sizes.output_size_in_bytes
    memory += sizes.temp_size_in_bytes - sizes.alias_size_in_bytes
    flops = lowered.cost_analysis()["flops"]
    num_bytes = programs[0].cost_analysis()["bytes accessed"]
    return Program(programs[0], seconds, flops, num_bytes, memory)
