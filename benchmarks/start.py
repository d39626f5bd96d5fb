"""How long programs take to start: imports, --help, the first step, a second start.

python benchmarks/start.py        (make bench)

Each in a process of its own: medians of --rounds, their spread, and the ratio to
`import jax` of each round. A run (once) is one training step and one evaluation of
walkers/tiny, of four frames a tracklet; the first start finds no compiled programs and
keeps those that took a tenth of a second or more, the second finds them: the ratio is
that to the first. `kept` is how many there are afterwards: a second start that had to
compile such a one again would keep more (one that takes about a tenth may join).
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_STATEMENTS = ("import jax", "import reid_jax.models", "import tensorflow")
_CONFIGS = ("configs/demo.py", "configs/attn_tconv.py")
_SHORT = {
    "data.name": "walkers/tiny",
    "data.p": 2,
    "data.k": 2,
    "train.max_steps": 1,
    "eval.batch_clips": 8,
    "eval.max_frames": 4,
    "eval.pictures": False,
    "eval.baselines": False,
}


def main() -> None:
    args = measuring.parser(__doc__, rounds=2).parse_args()
    machine = measuring.begin(args)
    commands = {f"python -c '{s}'": ["-c", s] for s in _STATEMENTS}
    commands |= {f"{p} --help": [p, "--help"] for p in ("train.py", "evaluate.py")}
    measures = {c: functools.partial(_seconds, a) for c, a in commands.items()}
    found = measuring.in_turn(measures, args.rounds)
    results = measuring.compare(found, next(iter(found)), "seconds", "6.1f")
    with tempfile.TemporaryDirectory() as folder:
        data_dir = f"{folder}/data"
        _seconds(["-m", "data.prepare", "walkers/tiny", f"--data_dir={data_dir}"])
        for config in _CONFIGS:
            results |= _two_starts(config, data_dir, pathlib.Path(folder))
    measuring.print_json(machine, results)


def _two_starts(config: str, data_dir: str, folder: pathlib.Path) -> dict[str, dict]:
    """Prints and returns the seconds of two starts of a run, and their programs."""
    name = pathlib.Path(config).stem
    fields = _SHORT | {"data.data_dir": data_dir}
    flags = [f"--config.{field}={value}" for field, value in fields.items()]
    results, first = {}, None
    for start in ("first", "second"):
        command = ["train.py", f"--config={config}", *flags]
        command.append(f"--workdir={folder}/{name}_{start}")
        seconds = _seconds(command, XDG_CACHE_HOME=str(folder / name))
        first = first or seconds
        num_kept = len(list((folder / name).rglob("*-cache")))
        row = {"seconds": seconds, "ratio": seconds / first, "kept": num_kept}
        label = f"{config}, {start} start"
        results[label] = row
        text = f"{seconds:6.1f} seconds {row['ratio']:8.2f} of the first start"
        print(f"{label:36} {text}, {num_kept} programs kept", flush=True)
    return results


def _seconds(arguments: list[str], **environment: str) -> float:
    """Seconds that a Python process with these arguments takes."""
    inherited = dict(os.environ)
    inherited.pop("JAX_COMPILATION_CACHE_DIR", None)  # a user's own would be warm

    def run() -> None:
        child = subprocess.run(
            [sys.executable, *arguments],
            cwd=_ROOT,
            env=inherited | environment,
            capture_output=True,
            text=True,
        )
        if child.returncode and "--help" not in arguments:  # absl ends as 1 then
            sys.exit(child.stderr)

    return measuring.seconds(run)


if __name__ == "__main__":
    main()
