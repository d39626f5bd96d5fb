"""Every benchmark of a CPU, one after the other, into docs/benchmarks.md and .json.

python benchmarks/all.py        (make bench; --only=input,start renews these sections)
"""

import argparse
import ast
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
FIGURES = PAGE.with_suffix(".json")

COMMANDS = {
    "networks": ["--clips=2", "--rounds=2"],
    "input": [],
    "start": ["--rounds=1"],
    "growth": [],
    "ranking": ["--rows=20000", "--rounds=2"],
    "rerank": [],
    "xqda": [],
    "render": ["--rounds=2", "--world=street_small"],
    "demo": ["--rounds=2"],
}
"""Those that take minutes together; others (walkers.py trains 42 networks) do not."""

_HEAD = """# Benchmarks

Written by `make bench`: each script's own words and output. Times, rates and ratios in
full are in [benchmarks.json](benchmarks.json). The spread of so few rounds is a hint.
What was tried, and what is measured elsewhere: [performance](performance.md).
"""


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
    try:
        results = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    except json.JSONDecodeError as error:
        sys.exit(f"{FIGURES} is damaged ({error}); remove it or take an older one.")
    for name in names:
        print(f"== {name}", flush=True)
        if name == "networks" and importlib.util.find_spec("torch") is None:
            print("PyTorch is not installed: this section stays as it is.")
            continue
        section_began = time.monotonic()
        sections[name], results[name] = _section(name)
        print(f"== {name}: {(time.monotonic() - section_began) / 60:.1f} minutes")
        ordered = [sections[known] for known in COMMANDS if known in sections]
        PAGE.write_text("\n".join([_HEAD, *ordered]))
        kept = {known: results[known] for known in COMMANDS if known in results}
        FIGURES.write_text(json.dumps(kept, ensure_ascii=False, indent=1) + "\n")
    print(f"== {(time.monotonic() - began) / 60:.1f} minutes, written to {PAGE}")


def _written() -> dict[str, str]:
    """The sections of the page as it is, by the names of their scripts."""
    _, *sections = PAGE.read_text().split("\n## ") if PAGE.exists() else [""]
    command = re.compile(r"^\$ python benchmarks/(\w+)\.py", re.MULTILINE)
    return {command.search(s)[1]: f"## {s.rstrip()}\n" for s in sections}


def _section(name: str) -> tuple[str, dict]:
    """The page's section, and the last line that the benchmark prints."""
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
        if not line.startswith("Rendering "):  # into a temporary folder
            lines.append(line.rstrip() + "\n")
    if child.wait():
        sys.exit(f"{command[0]} failed; its section of {PAGE} stays as it was.")
    script = (ROOT / command[0]).read_text()
    title, _, words = ast.get_docstring(ast.parse(script)).partition("\n")
    _, _, words = words.strip().partition("\n\n")
    *lines, results = lines
    output = "".join(lines).strip("\n")
    picture = ROOT / "docs" / "images" / f"{name}.png"
    image = f"\n![{title}](images/{name}.png)\n" if picture.exists() else ""
    section = f"""## {title}

{words}

```
$ python {" ".join(command)}
{output}
```
{image}"""
    return section, json.loads(results)


if __name__ == "__main__":
    main()
