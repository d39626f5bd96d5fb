"""Where the demo's time goes: frames/s of each stage, as ratios to the training step.

python benchmarks/demo.py        (make bench)

Every stage handles the same frames of walkers/tiny at the demo's size in one run, on
this machine. Medians of several rounds.
"""

import json
import pathlib
import platform
import statistics
import sys
import tempfile
import time

import jax
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import demo
from data.walkers import plan, world
from reid_jax import command_line, parallel, steps
from reid_jax.models import build_model

_ROUNDS = 7


def main() -> None:
    command_line.quieten()
    from reid_jax import input_pipeline

    config = demo.get_config()
    config.data.name = "walkers/tiny"
    config.data.p = 8
    config.data.k = 8
    frames = config.data.p * config.data.k * config.model.clip_length
    with tempfile.TemporaryDirectory() as folder:
        config.data.data_dir = folder
        dataset = input_pipeline.load_dataset(config)
        batches = input_pipeline.train_batches(dataset.train, config)
        batch = next(batches)
        rates = {
            "render 128x64": _render_rate(),
            "input pipeline": _rate(lambda: _draw(batches, 30), 30 * frames),
            **_network_rates(config, batch, frames),
        }
        batches.close()
    step = rates["training step"]
    print(f"{platform.processor() or platform.machine()}, {jax.devices()}")
    for name, rate in rates.items():
        print(f"{name:16} {rate:8.0f} frames/s  {rate / step:6.2f} x training step")
    print(json.dumps({"frames_per_second": rates, "jax": jax.__version__}))


def _draw(batches, num: int) -> None:
    for _ in range(num):
        jax.block_until_ready(next(batches))


def _render_rate() -> float:
    sizes = world.SIZES["street_small"]
    entries = plan.plan(sizes)[:40]
    walkers = world.World(sizes)
    for _ in walkers.render(entries[:4]):  # compiles
        pass
    start = time.perf_counter()
    num_frames = sum(len(frames) for _, frames in walkers.render(entries))
    return num_frames / (time.perf_counter() - start)


def _network_rates(config, batch: dict[str, np.ndarray], frames: int) -> dict:
    mesh = parallel.data_mesh()
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    model = build_model(config.model, 100, rngs=nnx.Rngs(config.seed))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    embed_step = steps.make_embed_step(graphdef, config)
    carry = [parallel.replicate(state, mesh)]
    batch = parallel.shard(batch, mesh)

    def train() -> None:
        carry[0], metrics = train_step(carry[0], batch)
        jax.block_until_ready(metrics)

    def embed() -> None:
        out = embed_step(carry[0].params, carry[0].batch_stats, batch["clips"])
        jax.block_until_ready(out.embedding)

    return {"training step": _rate(train, frames), "embedding": _rate(embed, frames)}


def _rate(run, num_frames: int) -> float:
    run()  # compiles
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return num_frames / statistics.median(times)


if __name__ == "__main__":
    main()
