"""Every benchmark of a CPU, one after the other, into docs/benchmarks.md and .json.

python benchmarks/all.py        (make bench; --only=input,start renews these sections)
"""

import ast
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = {
    "networks": ["--clips=2", "--rounds=2"],
    "input": [],
    "evaluation": [],
    "start": ["--rounds=1"],
    "ranking": ["--rows=20000", "--rounds=2"],
    "rerank": [],
    "xqda": [],
    "render": ["--rounds=2", "--world=street_small"],
    "demo": ["--rounds=2"],
}
"""Scripts that take minutes together; walkers.py trains 42 networks, for hours."""

_HEAD = """# Benchmarks

Written by `make bench`: each script's own words and output. Times, rates and ratios in
full are in [benchmarks.json](benchmarks.json). The spread of so few rounds is a hint.
What was tried, and what is measured elsewhere: [performance](performance.md).
"""


def main(arguments: list[str] | None = None, root: pathlib.Path = ROOT) -> None:
    """Runs the scripts of `root`, and writes to its docs after each of them."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--only", help="names, with commas; other sections stay")
    args = parser.parse_args(arguments)
    names = args.only.split(",") if args.only is not None else list(COMMANDS)
    if unknown := set(names) - set(COMMANDS):
        unknown = ",".join(sorted(unknown))
        parser.error(f"--only={unknown}; known: {', '.join(COMMANDS)}")
    page = root / "docs" / "benchmarks.md"
    figures = page.with_suffix(".json")
    sections = _written(page)
    try:
        results = json.loads(figures.read_text()) if figures.exists() else {}
    except json.JSONDecodeError as error:
        sys.exit(f"{figures} is damaged ({error}); remove it or take an older one.")
    for name in names:
        print(f"== {name}", flush=True)
        if name == "networks" and importlib.util.find_spec("torch") is None:
            print("PyTorch is not installed: this section stays unchanged.")
            continue
        began = time.monotonic()
        sections[name], results[name] = _section(root, name)
        print(f"== {name}: {(time.monotonic() - began) / 60:.1f} minutes")
        known_results = {
            section: results[section] for section in COMMANDS if section in results
        }
        figures.write_text(
            json.dumps(known_results, ensure_ascii=False, indent=1) + "\n"
        )
        ordered = [sections[section] for section in COMMANDS if section in sections]
        page.write_text("\n".join([_HEAD, *ordered]))
    print(f"== written to {page}")


def _written(page: pathlib.Path) -> dict[str, str]:
    """The sections of the present page, by the names of their scripts."""
    _, *sections = page.read_text().split("\n## ") if page.exists() else [""]
    command = re.compile(r"^\$ python benchmarks/(\w+)\.py", re.MULTILINE)
    return {command.search(s)[1]: f"## {s.rstrip()}\n" for s in sections}


def _section(root: pathlib.Path, name: str) -> tuple[str, dict]:
    """The page's section, and the last line that the benchmark prints."""
    command = [f"benchmarks/{name}.py", *COMMANDS[name]]
    lines = []
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=root,
        env=measuring.HUGE_PAGES | os.environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        for line in child.stdout:
            print(line, end="", flush=True)
            if not line.startswith("Rendering "):  # into a temporary folder
                lines.append(line.rstrip() + "\n")
    if child.returncode:
        sys.exit(f"{command[0]} failed; its section of the page is unchanged.")
    script = (root / command[0]).read_text()
    title, _, words = ast.get_docstring(ast.parse(script)).partition("\n")
    _, _, words = words.strip().partition("\n\n")
    *lines, results = lines
    output = "".join(lines).strip("\n")
    shown = f"$ python {' '.join(command)}\n{output}"
    return f"## {title}\n\n{words}\n\n```\n{shown}\n```\n", json.loads(results)


if __name__ == "__main__":
    main()
