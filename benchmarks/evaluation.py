"""Measures the share of an evaluation in which the device waits, and the memory.

python benchmarks/evaluation.py                   (make bench, a minute)
python benchmarks/evaluation.py --clips=174641    (as many as in MARS, many minutes)

Clips of 4 frames are read from JPEGs of walkers/street_small, 128x64: a few tracklets
are repeated as if they showed many persons. `network`: the demo's network embeds them
on this CPU, which decodes them too. `slow device`: a separate device, simulated by a
thread that sleeps, at 0.8 times the rate at which the clips are decoded. Memory is that
of the process without mapped files, after a tenth of the clips and at the end.
"""

import contextlib
import io
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import jax
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import copied_tracklets, measuring
from configs import demo
from data.walkers import plan, world
from reid_jax import parallel, steps
from reid_jax.cli import ending
from reid_jax.models import build_model
from reid_jax.runs import embeddings

_WORLD = "street_small"
_RENDERED = 24  # tracklets
_SPLIT = "gallery"
_DIM = 32  # of the simulated device's embeddings


class Device:
    """Computes batches one after the other in a thread, and notes when it is busy."""

    def __init__(self, compute: Callable[[jax.Array], np.ndarray]):
        self._compute, self._thread = compute, futures.ThreadPoolExecutor(1)
        self.intervals: list[tuple[float, float]] = []

    def __call__(self, clips: jax.Array) -> "_Computing":
        return _Computing(self._thread.submit(self._timed, clips))

    def _timed(self, clips: jax.Array) -> np.ndarray:
        began = time.perf_counter()
        result = self._compute(clips)
        self.intervals.append((began, time.perf_counter()))
        return result

    def waits(self) -> float:
        """Share of the time without a batch, from the second batch to the last.

        The first batch compiles the network.
        """
        intervals = self.intervals[1:]
        busy = sum(end - begin for begin, end in intervals)
        return 1 - busy / (intervals[-1][1] - intervals[0][0])


class _Computing:
    """A result that is waited for when NumPy asks for it, like an array of JAX."""

    def __init__(self, result: futures.Future):
        self._result = result

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self._result.result(), dtype)


def main() -> None:
    parser = measuring.parser(__doc__)
    parser.add_argument("--clips", type=measuring.at_least(8000), default=16000)
    args = parser.parse_args()
    ending.quieten()
    machine = measuring.begin(args)
    config = demo.get_config()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.redirect_stdout(io.StringIO()):
            source = _source(config, pathlib.Path(folder), args.clips)
        rate = _decoding_rate(source, config)
        seconds = config.eval.batch_clips / (0.8 * rate)
        print(f"decoding alone: {rate * config.model.clip_length:.0f} frames/s")
        devices = {"network": _network(config), "slow device": _sleep(seconds)}
        for name, compute in devices.items():
            results[name] = row = _embed(source, Device(compute), config, args.clips)
            print(
                f"{name:12} waits {row['waits']:.1%} of {row['seconds']:.0f} s, "
                f"memory {row['early']:.0f} MiB, {row['late']:.0f} MiB at the end"
            )
    measuring.print_json(machine, results)


def _source(config, folder: pathlib.Path, num_clips: int):
    """A source whose gallery has at least `num_clips` clips."""
    from reid_jax.input import files
    from reid_jax.input.datasets import Dataset

    rendered = world.World(world.SIZES[_WORLD])
    entries = plan.plan(rendered.sizes)[:_RENDERED]
    tracklets = [
        (entry, [rendered.jpeg(entry.camid, frame) for frame in frames])
        for entry, frames in rendered.render(entries)
    ]
    num_rendered = sum(-(-len(f) // config.model.clip_length) for _, f in tracklets)

    num_copies = -(-num_clips // num_rendered)
    split = copied_tracklets.open_split(
        folder, _SPLIT, tracklets, len(entries), num_copies
    )
    return files.FilesSource(config, Dataset(split, split, split, ("standard",)))


def _embed(source, device: Device, config, num_clips: int) -> dict[str, float]:
    """Embeds the gallery by `embed_tracklets`, as an evaluation does."""
    memory = []
    num_batches = num_clips // config.eval.batch_clips

    def batches() -> Iterator[dict]:
        for i, batch in enumerate(source.eval_batches(_SPLIT)):
            if i == num_batches // 10:
                memory.append(measuring.megabytes("RssAnon"))
            yield batch
        memory.append(measuring.megabytes("RssAnon"))

    began = time.perf_counter()
    embeddings.embed_tracklets(device, batches(), len(source.split(_SPLIT)))
    return {
        "waits": device.waits(),
        "seconds": time.perf_counter() - began,
        "early": memory[0],
        "late": memory[1],
    }


def _decoding_rate(source, config) -> float:
    """Clips per second that are decoded where nothing else is done."""
    batches = source.eval_batches(_SPLIT)
    for _ in range(20):
        next(batches)
    num = 90
    seconds = measuring.seconds(lambda: jax.block_until_ready(next(batches)), num)
    batches.close()
    return config.eval.batch_clips / seconds


def _network(config) -> Callable[[jax.Array], np.ndarray]:
    mesh = parallel.local_mesh()
    model = build_model(config.model, 1, rngs=nnx.Rngs(0))
    graphdef, *weights = nnx.split(model, nnx.Param, nnx.BatchStat)
    weights = parallel.replicate(tuple(map(nnx.as_pure, weights)), mesh)
    step = steps.make_embed_step(graphdef, config)
    network = embeddings.Network(step, *weights, mesh)
    return lambda clips: np.asarray(network(clips))


def _sleep(seconds: float) -> Callable[[jax.Array], np.ndarray]:
    def compute(clips: jax.Array) -> np.ndarray:
        time.sleep(seconds)
        return np.zeros((len(clips), _DIM), np.float32)

    return compute


if __name__ == "__main__":
    main()
