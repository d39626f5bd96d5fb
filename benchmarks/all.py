"""Every benchmark of a CPU, one after the other, into docs/benchmarks.md.

python benchmarks/all.py        (make bench; --only=input,start renews these sections)
"""

import argparse
import ast
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"

COMMANDS = {
    "networks": ["--clips=2", "--repeats=3"],
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
    parser.add_argument("--only", help="names, with commas; other sections stay")
    args = parser.parse_args()
    names = args.only.split(",") if args.only is not None else list(COMMANDS)
    if unknown := set(names) - set(COMMANDS):
        parser.error(
            f"--only={','.join(sorted(unknown))}; known: {', '.join(COMMANDS)}"
        )
    began = time.monotonic()
    sections = _written()
    for name in names:
        print(f"== {name}", flush=True)
        if name == "networks" and importlib.util.find_spec("torch") is None:
            print("PyTorch is not installed: this section stays as it is.")
            continue
        section_began = time.monotonic()
        sections[_doc(name).partition("\n")[0]] = _section(name)
        print(f"== {name}: {(time.monotonic() - section_began) / 60:.1f} minutes")
        titles = [_doc(known).partition("\n")[0] for known in COMMANDS]
        ordered = [sections[title] for title in titles if title in sections]
        PAGE.write_text("\n".join([_head(), *ordered]))
    print(f"== {(time.monotonic() - began) / 60:.1f} minutes, written to {PAGE}")


def _written() -> dict[str, str]:
    """The sections of the page as it is, by title."""
    _, *sections = PAGE.read_text().split("\n## ") if PAGE.exists() else [""]
    return {s.partition("\n")[0]: f"## {s.rstrip()}\n" for s in sections}


def _head() -> str:
    packages = ("jax", "flax", "numpy", "tensorflow-cpu", "torch")
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    return f"""# Benchmarks

Written by `make bench`: each script's own words and output. What was tried, and what is
measured elsewhere: [performance](performance.md).

Machine: {platform.machine()}, {os.cpu_count()} cores, {platform.system()}, Python
{platform.python_version()}; {versions}.
"""


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _doc(name: str) -> str:
    return ast.get_docstring(ast.parse((ROOT / f"benchmarks/{name}.py").read_text()))


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
        if not line.startswith(("{", "Rendering ")):  # JSON, and a temporary folder
            lines.append(line)
    if child.wait():
        sys.exit(f"{command[0]} failed; its section of {PAGE} stays as it was.")
    title, _, words = _doc(name).partition("\n")
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
