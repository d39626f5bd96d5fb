"""Where the demo's time goes: frames/s of each stage, as ratios to the training step.

python benchmarks/demo.py        (make bench)

Every stage handles the same frames of walkers/tiny at the demo's size in one run, on
this machine. Medians of --rounds and their spread; a ratio is that of each round.
"""

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Callable

import jax
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from configs import demo
from data.walkers import plan, world
from reid_jax import parallel, steps
from reid_jax.cli import ending
from reid_jax.models import build_model

_NUM_BATCHES = 10
_NUM_RENDERED = 10  # tracklets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=measuring.at_least(1), default=5)
    args = parser.parse_args()
    ending.quieten()
    from reid_jax.input import files as input_pipeline

    machine = measuring.begin(args)
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
        train, embed = _network(config, batch)
        stages = {
            "rendering, 128x64": _renderer(),
            "training step": train,
            "embedding": embed,
            # Last: what it reads ahead would take from a step's time.
            "input pipeline": lambda: _draw(batches, _NUM_BATCHES) * frames,
        }
        measures = {name: _rate(stage) for name, stage in stages.items()}
        found = measuring.in_turn(measures, args.rounds)
        batches.close()
    results = {}
    for name, rates in found.items():
        rate = measuring.figure(rates)
        ratio = measuring.ratio(rates, found["training step"])
        results[name] = {"frames_per_second": rate, "ratio": ratio}
        print(f"{name:18} {rate:8.0f} frames/s {ratio:8.2f} x training step")
    measuring.print_json(machine, results)


def _rate(stage: Callable[[], int]) -> Callable[[], float]:
    """Frames/s of a function that returns how many it handled."""

    def measure() -> float:
        done = []
        seconds = measuring.seconds(lambda: done.append(stage()))
        return done[0] / seconds

    return measure


def _draw(batches, num: int) -> int:
    for _ in range(num):
        jax.block_until_ready(next(batches))
    return num


def _renderer() -> Callable[[], int]:
    sizes = world.SIZES["street_small"]
    entries = plan.plan(sizes)[:_NUM_RENDERED]
    walkers = world.World(sizes)
    return lambda: sum(len(frames) for _, frames in walkers.render(entries))


def _network(config, batch: dict[str, np.ndarray]) -> tuple[Callable[[], int], ...]:
    """A training step and the embedding of a batch: its number of frames."""
    mesh = parallel.data_mesh()
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    model = build_model(config.model, 100, rngs=nnx.Rngs(config.seed))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    embed_step = steps.make_embed_step(graphdef, config)
    carry = [parallel.replicate(state, mesh)]
    batch = parallel.shard(batch, mesh)

    frames = batch["clips"].shape[0] * batch["clips"].shape[1]

    def train() -> int:
        carry[0], metrics = train_step(carry[0], batch)
        jax.block_until_ready(metrics)
        return frames

    def embed() -> int:
        out = embed_step(carry[0].params, carry[0].batch_stats, batch["clips"])
        jax.block_until_ready(out.embedding)
        return frames

    return train, embed


if __name__ == "__main__":
    main()
