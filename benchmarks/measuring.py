"""Measures for all benchmarks: machine, rounds in turn, medians, spread, JSON."""

import argparse
import dataclasses
import importlib.metadata
import json
import os
import pathlib
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence

HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""Variables that the Makefile exports too; glibc reads them at a process's start."""

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
    """The figure of the values of all rounds."""
    values = sorted(values)
    if len(values) < 2:
        return Figure(values[0], None)
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(statistics.median(values), (high - low) / 2)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """The figure of each round's ratio: what else the machine does slows both sides."""
    return figure(x / y for x, y in zip(ours, theirs, strict=True))


def in_turn(
    measures: dict[str, Callable[[], float]], rounds: int
) -> dict[str, list[float]]:
    """Results of each function in every round, after one call that is not counted."""
    for measure in measures.values():
        measure()
    found = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return found


def seconds(run: Callable[[], object], calls: int = 1) -> float:
    """Seconds of a call, the mean of `calls`."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def rate(make: Callable[[], int]) -> Callable[[], float]:
    """Returns a measure of the items per second; `make` returns its number of items."""

    def measure() -> float:
        start = time.perf_counter()
        num_made = make()
        return num_made / (time.perf_counter() - start)

    return measure


def compare(
    found: dict[str, list[float]], base: str, unit: str, spec: str = "8.0f"
) -> dict[str, dict[str, Figure]]:
    """Prints and returns the figure of each, and that of its ratio to `base`."""
    results, width = {}, max(map(len, found)) + 1
    for name, values in found.items():
        row = {unit: figure(values), "ratio": ratio(values, found[base])}
        results[name] = row
        print(f"{name:{width}}{row[unit]:{spec}} {unit} {row['ratio']:8.2f} of {base}")
    return results


def megabytes(field: str) -> float:
    """Returns resident memory of this process (Linux).

    `VmRSS`: now. `RssAnon`: now, without mapped files. `VmHWM`: at most.
    """
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def parser(doc: str, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """The flags of a script with this docstring: --rounds, where it has a default."""
    program_parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    if rounds is not None:
        program_parser.add_argument("--rounds", type=at_least(1), default=rounds)
    return program_parser


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


def begin(args: argparse.Namespace) -> dict[str, object]:
    """Prints and returns the machine, the versions and the arguments.

    JAX's device is among them where JAX is imported, and so are glibc's tunables.
    """
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
    machine["tunables"] = os.environ.get("GLIBC_TUNABLES") or "none"
    print(", ".join(f"{key} {value}" for key, value in machine.items()), flush=True)
    return machine | {"arguments": vars(args)}


def print_json(machine: dict, results: dict) -> None:
    """The last line that a benchmark prints."""
    content = {"machine": machine, "results": results}
    print(json.dumps(content, ensure_ascii=False, default=dataclasses.asdict))
