"""Every benchmark of a CPU, one after the other, into docs/benchmarks.md.

python benchmarks/all.py        (make bench; --only=input,start prints these alone)
"""

import argparse
import ast
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

COMMANDS = {
    "networks": ["--clips=2", "--repeats=4"],
    "input": [],
    "start": [],
    "growth": [],
    "ranking": [],
    "rerank": [],
    "xqda": [],
    "render": [],
    "demo": [],
}
"""Those that take minutes together; others (walkers.py trains 42 networks) do not."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", help="names, with commas; the page stays as it is")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else list(COMMANDS)
    if unknown := set(names) - set(COMMANDS):
        parser.error(
            f"--only={','.join(sorted(unknown))}; known: {', '.join(COMMANDS)}"
        )
    began = time.monotonic()
    sections = []
    for name in names:
        print(f"== {name}", flush=True)
        sections.append(_section(name))
    minutes = (time.monotonic() - began) / 60
    print(f"== {minutes:.1f} minutes")
    if not args.only:
        PAGE.write_text("\n".join([_head(minutes), *sections]))
        print(f"written to {PAGE}")


def _head(minutes: float) -> str:
    packages = ("jax", "flax", "numpy", "tensorflow", "torch")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return f"""# Benchmarks

Written by `make bench` ({minutes:.0f} minutes): each script's own words and output.
What was tried, and what is measured elsewhere: [performance](performance.md).

Machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python
{platform.python_version()}; {versions}.
"""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _section(name: str) -> str:
    command = [f"benchmarks/{name}.py", *COMMANDS[name]]
    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in child.stdout:
        print(line, end="", flush=True)
        if not line.startswith("{"):
            lines.append(line)
    if child.wait():
        sys.exit(f"{command[0]} failed; {PAGE} stays as it was.")
    doc = ast.get_docstring(ast.parse((ROOT / command[0]).read_text()))
    title, _, words = doc.partition("\n")
    _, _, words = words.strip().partition("\n\n")
    output = "".join(lines).strip("\n")
    picture = ROOT / "docs" / "images" / f"{name}.png"
    image = f"\n![{title}](images/{name}.png)\n" if picture.exists() else ""
    return f"""## {title}

{words}

```
$ python {" ".join(command)}
{output}
```
{image}"""


if __name__ == "__main__":
    main()
