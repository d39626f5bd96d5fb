"""What every benchmark needs: a machine, runs in turn, medians with spread, JSON."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence

_PACKAGES = ("jax", "flax", "numpy", "tensorflow-cpu", "torch")


@dataclasses.dataclass(frozen=True)
class Figure:
    """A median, and half the distance between the quartiles; None of a single value."""

    median: float
    spread: float | None

    def __format__(self, spec: str) -> str:
        """Both, in the format of a float; the width is the median's."""
        if self.spread is None:
            return f"{self.median:{spec}}{'':8}"
        spread = format(self.spread, spec.lstrip("0123456789"))
        return f"{self.median:{spec}} ± {spread:5}"


def figure(values: Iterable[float]) -> Figure:
    values = sorted(values)
    if len(values) < 2:
        return Figure(values[0], None)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(statistics.median(values), (high - low) / 2)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Of each round by itself: what else the machine does slows both of it."""
    return figure(x / y for x, y in zip(ours, theirs, strict=True))


def in_turn(
    measures: dict[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """What each returns in every round, after one call that is not counted."""
    for measure in measures.values():
        measure()
    found = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def seconds(run: Callable[[], object], calls: int = 1) -> float:
    """How long a call takes, the mean of `calls`."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def begin(args: argparse.Namespace) -> dict[str, object]:
    """Prints and returns on what this runs, with huge pages as train.py has them.

    JAX's device where JAX is imported, and what the program was asked for.
    """
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    machine = {
        "machine": platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    if "jax" in sys.modules:
        machine["device"] = sys.modules["jax"].devices()[0].device_kind
    for package in _PACKAGES:
        try:
            machine[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if tunables := os.environ.get("GLIBC_TUNABLES"):
        machine["tunables"] = tunables
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    return machine | {"arguments": vars(args)}


def print_json(machine: dict, results: dict) -> None:
    """The last line that a benchmark prints."""
    content = {"machine": machine, "results": results}
    print(json.dumps(content, ensure_ascii=False, default=dataclasses.asdict))


def at_least(least: int) -> Callable[[str], int]:
    """The type of an argument of a program: a whole number from `least` on."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value}: at least {least}")
        return value

    return number
