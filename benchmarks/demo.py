"""Where the demo's time goes: frames/s of each stage, as ratios to the training step.

python benchmarks/demo.py        (make bench)

Every stage handles the same frames of walkers/tiny at the demo's size in one run, on
this machine. Medians of --rounds and their spread; a ratio is that of each round.
"""

import pathlib
import sys
import tempfile
from collections.abc import Callable

import jax
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import measuring
from configs import demo
from data.walkers import plan, world
from reid_jax import steps
from reid_jax.cli import ending
from reid_jax.input import source as sources
from reid_jax.models import build_model

_NUM_BATCHES = 10
_NUM_RENDERED = 10  # tracklets


def main() -> None:
    args = measuring.parser(__doc__, rounds=5).parse_args()
    ending.quieten()
    machine = measuring.begin(args)
    config = demo.get_config()
    config.data.update(name="walkers/tiny", p=8, k=8)
    with tempfile.TemporaryDirectory() as folder:
        config.data.data_dir = folder
        source = sources.open_source(config)
        batches = source.train_batches()
        train, embed = _network(config, len(source.pids), next(batches))
        stages = {
            "rendering, 128x64": _renderer(),
            "training step": train,
            "embedding": embed,
            # Last: what it reads ahead would take from a step's time.
            "input pipeline": lambda: sum(
                _num_frames(jax.block_until_ready(next(batches)))
                for _ in range(_NUM_BATCHES)
            ),
        }
        measures = {name: measuring.rate(stage) for name, stage in stages.items()}
        found = measuring.in_turn(measures, args.rounds)
        batches.close()
    results = measuring.compare(found, "training step", "frames/s")
    measuring.print_json(machine, results)


def _num_frames(batch: dict[str, jax.Array]) -> int:
    B, T = batch["clips"].shape[:2]
    return B * T


def _renderer() -> Callable[[], int]:
    sizes = world.SIZES["street_small"]
    entries = plan.plan(sizes)[:_NUM_RENDERED]
    walkers = world.World(sizes)
    return lambda: sum(len(frames) for _, frames in walkers.render(entries))


def _network(
    config, num_pids: int, batch: dict[str, jax.Array]
) -> tuple[Callable[[], int], ...]:
    """A training step and the embedding of a batch: its number of frames."""
    optimizer = steps.build_optimizer(config, lambda step: 1e-3)
    model = build_model(config.model, num_pids, rngs=nnx.Rngs(config.seed))
    graphdef, state = steps.initial_state(model, optimizer)
    train_step = steps.make_train_step(graphdef, optimizer, config)
    embed_step = steps.make_embed_step(graphdef, config)

    def train() -> int:
        nonlocal state
        state, metrics = train_step(state, batch)
        jax.block_until_ready(metrics)
        return _num_frames(batch)

    def embed() -> int:
        out = embed_step(state.params, state.batch_stats, batch["clips"])
        jax.block_until_ready(out.embedding)
        return _num_frames(batch)

    return train, embed


if __name__ == "__main__":
    main()
