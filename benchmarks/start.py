"""How long programs take to start: imports, --help, the first step, a second start.

python benchmarks/start.py        (make bench)

Each in a process of its own, the median of --rounds (of the runs: once). A run is one
training step and one evaluation of walkers/tiny, of four frames a tracklet; the first
start finds no compiled programs and keeps those that took a tenth of a second or more,
the second finds them. `kept` is how many there are afterwards: a second start that had
to compile such a one again would keep more (one that takes about a tenth may join).
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
STATEMENTS = ("import jax", "import reid_jax.models", "import tensorflow")
CONFIGS = ("configs/demo.py", "configs/attn_tconv.py")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error(f"--rounds={args.rounds}: at least 1")
    found = {"machine": platform.processor() or platform.machine()}
    print(f"{found['machine']}, {os.cpu_count()} cores; seconds")
    commands = {f"python -c '{s}'": ["-c", s] for s in STATEMENTS}
    commands |= {f"{p} --help": [p, "--help"] for p in ("train.py", "evaluate.py")}
    for name, arguments in commands.items():
        seconds = [_seconds(arguments) for _ in range(args.rounds + 1)][1:]
        found[name] = statistics.median(seconds)
        print(f"{name:36} {found[name]:6.1f}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        prepare = ["-m", "data.prepare", "walkers/tiny", f"--data_dir={folder}/data"]
        _seconds(prepare)
        for config in CONFIGS:
            cache = pathlib.Path(folder) / pathlib.Path(config).stem
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
                found[f"{config}, {start} start"] = seconds
                name = f"{config}, {start} start"
                print(f"{name:36} {seconds:6.1f}   {kept} programs kept", flush=True)
    print(json.dumps(found))


_FOLDER = "JAX_COMPILATION_CACHE_DIR"  # a user's own would be warm


def _seconds(arguments: list[str], **environment: str) -> float:
    start = time.perf_counter()
    child = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != _FOLDER} | environment,
        capture_output=True,
        text=True,
    )
    if child.returncode and "--help" not in arguments:  # absl ends as 1 then
        sys.exit(child.stderr)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
