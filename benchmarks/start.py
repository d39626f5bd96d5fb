"""How long programs take to start: imports, --help, the first step, a second start.

python benchmarks/start.py        (make bench)

Each in a process of its own: medians of --rounds, their spread, and the ratio to
`import jax` of each round. A run (once) is one training step and one evaluation of
walkers/tiny, of four frames a tracklet; the first start finds no compiled programs and
keeps those that took a tenth of a second or more, the second finds them: the ratio is
that to the first. `kept` is how many there are afterwards: a second start that had to
compile such a one again would keep more (one that takes about a tenth may join).
"""

import argparse
import functools
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATEMENTS = ("import jax", "import reid_jax.models", "import tensorflow")
CONFIGS = ("configs/demo.py", "configs/attn_tconv.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=measuring.at_least(1), default=2)
    args = parser.parse_args()
    machine = measuring.begin(args)
    commands = {f"python -c '{s}'": ["-c", s] for s in STATEMENTS}
    commands |= {f"{p} --help": [p, "--help"] for p in ("train.py", "evaluate.py")}
    measures = {c: functools.partial(_seconds, a) for c, a in commands.items()}
    found = measuring.in_turn(measures, args.rounds)
    results = {}
    print(f"{'':36}{'seconds':>9}{'ratio':>17}")
    for name, seconds in found.items():
        middle = measuring.figure(seconds)
        ratio = measuring.ratio(seconds, next(iter(found.values())))
        results[name] = {"seconds": middle, "ratio": ratio}
        print(f"{name:36} {middle:8.1f} {ratio:8.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare = ["-m", "data.prepare", "walkers/tiny", f"--data_dir={folder}/data"]
        _seconds(prepare)
        for config in CONFIGS:
            cache = pathlib.Path(folder) / pathlib.Path(config).stem
            times = []
            for start in ("first", "second"):
                seconds = _seconds(
                    [
                        "train.py",
                        f"--config={config}",
                        f"--workdir={folder}/{cache.name}_{start}",
                        "--config.data.name=walkers/tiny",
                        f"--config.data.data_dir={folder}/data",
                        "--config.train.max_steps=1",
                        "--config.eval.pictures=False",
                        "--config.eval.baselines=False",
                        "--config.data.p=2",
                        "--config.data.k=2",
                        "--config.eval.batch_clips=8",
                        "--config.eval.max_frames=4",
                    ],
                    XDG_CACHE_HOME=str(cache),
                )
                kept = len(list(cache.rglob("*-cache")))
                times.append(seconds)
                name, ratio = f"{config}, {start} start", seconds / times[0]
                results[name] = {"seconds": seconds, "ratio": ratio, "kept": kept}
                print(
                    f"{name:36} {seconds:8.1f} {ratio:16.2f}         "
                    f"{kept} programs kept",
                    flush=True,
                )
    measuring.print_json(machine, results)


_FOLDER = "JAX_COMPILATION_CACHE_DIR"  # a user's own would be warm


def _seconds(arguments: list[str], **environment: str) -> float:
    def run() -> None:
        child = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={k: v for k, v in os.environ.items() if k != _FOLDER} | environment,
            capture_output=True,
            text=True,
        )
        if child.returncode and "--help" not in arguments:  # absl ends as 1 then
            sys.exit(child.stderr)

    return measuring.seconds(run)


if __name__ == "__main__":
    main()
