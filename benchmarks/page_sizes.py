"""A CPU's training step and embedding with memory in huge pages, and without.

python benchmarks/page_sizes.py                 (2 minutes, Linux)
python benchmarks/page_sizes.py --config=c3d      (5 minutes)

Two clips of random pixels, as two persons. Each in a process of its own, which differ
in GLIBC_TUNABLES alone and take turns; a process gives the median of five calls after
two that are not counted, and how many page faults a call had. Medians of
--rounds and their spread; a ratio is that of each round, above 1 where huge pages are
faster. Where the system gives them to all or to nobody there is no difference.
"""

import argparse
import importlib
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring

_TUNABLES = {"without": "", "with": "glibc.malloc.hugetlb=1"}
_CONFIGS = ("attn_tconv", "resnet3d50", "c3d")
_CALLS = 5
_NUM_PIDS = 625  # of MARS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", default=_CONFIGS[0], choices=_CONFIGS)
    parser.add_argument("--rounds", type=measuring.at_least(1), default=3)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(_measured(args.config)))
        return
    machine = measuring.begin(args)
    rows = {name: [] for name in _TUNABLES}
    for _ in range(args.rounds):
        for name, tunables in _TUNABLES.items():
            rows[name].append(_in_a_process(args.config, tunables))
    print(f"{args.config:22}{'ms without':>10}{'with':>14}{'ratio':>17}{'faults':>21}")
    results = {}
    for what in rows["with"][0]:
        times = {n: [row[what][0] for row in found] for n, found in rows.items()}
        pages = {n: found[-1][what][1] for n, found in rows.items()}
        without, others = (measuring.figure(times[n]) for n in ("without", "with"))
        ratio = measuring.ratio(times["without"], times["with"])
        results[what] = {"ms": {"without": without, "with": others}, "ratio": ratio}
        results[what]["pages"] = pages
        print(
            f"{what:22} {without:9.0f} {others:9.0f} {ratio:9.2f}   "
            f"{pages['without']:.0f}, {pages['with']:.0f}"
        )
    measuring.print_json(machine, results)


def _in_a_process(config: str, tunables: str) -> dict[str, list[float]]:
    child = subprocess.run(
        [sys.executable, __file__, f"--config={config}", "--measure"],
        env=os.environ | {"GLIBC_TUNABLES": tunables, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    if child.returncode:
        sys.exit(child.stderr)
    return json.loads(child.stdout.splitlines()[-1])


def _measured(name: str) -> dict[str, tuple[float, float]]:
    """Milliseconds and page faults of a call, by what is called."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx

    from reid_jax import steps
    from reid_jax.cli import compile_cache
    from reid_jax.models import build_model

    compile_cache.enable()
    config = importlib.import_module(f"configs.{name}").get_config()
    shape = 2, config.model.clip_length, *config.model.frame_size, 3
    clips = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    batch = {"clips": jnp.asarray(clips), "labels": jnp.arange(2, dtype=jnp.int32)}
    optimizer = steps.build_optimizer(config, lambda step: 1e-4)
    model = build_model(config.model, _NUM_PIDS, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    embed_step = steps.make_embed_step(graphdef, config)
    carry = [state]

    def embed() -> None:
        found = embed_step(carry[0].params, carry[0].batch_stats, batch["clips"])
        jax.block_until_ready(found)

    def train() -> None:
        carry[0], metrics = train_step(carry[0], batch)
        jax.block_until_ready(metrics)

    return {"embedding": _called(embed), "training step": _called(train)}


def _called(run: Callable[[], None]) -> tuple[float, float]:
    for _ in range(2):
        run()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    times = [measuring.seconds(run) for _ in range(_CALLS)]
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - pages
    return 1000 * statistics.median(times), pages / _CALLS


if __name__ == "__main__":
    main()
