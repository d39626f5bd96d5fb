"""How time and memory grow as the data doubles four times.

python benchmarks/growth.py        (make bench; draws docs/images/growth.png)

An epoch of training (identities), embedding of a split (tracklets, frames of each),
ranking and re-ranking of tracklets, a training step on several devices (the cores of
this machine as so many devices, the batch the same). A process for each of them, the
sizes one after the other (a process for each number of devices). Median seconds of
three calls after the one that compiles; the largest memory so far beside that after the
smallest size. The exponent is that of the last three sizes: 1 is proportional, and what
compares all with all (ranking, re-ranking) has 2 by its mathematics.
"""

import argparse
import io
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import growth_picture, measuring

ROOT = pathlib.Path(__file__).resolve().parents[1]
SIZES = {
    "identities, an epoch": (32, 64, 128, 256, 512),
    "tracklets, embedding": (64, 128, 256, 512, 1024),
    "frames of 64 tracklets, embedding": (8, 16, 32, 64, 128),
    "queries and gallery, ranking": (500, 1000, 2000, 4000, 8000),
    "queries and gallery, re-ranking": (500, 1000, 2000, 4000, 8000),
    "devices, a training step": (1, 2, 4, 8, 16),
}
"""What grows, and what is timed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--measure", choices=SIZES, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        _measure(args.measure, args.sizes)
        return
    machine = measuring.begin(args)
    found = {}
    for what, sizes in SIZES.items():
        if what.startswith("devices"):
            alone = (_in_a_process(what, [size], size) for size in sizes)
            found[what] = [measured for (measured,) in alone]
        else:
            found[what] = _in_a_process(what, sizes)
        seconds, spreads, megabytes = zip(*found[what], strict=True)
        print(f"\n{what}: {', '.join(map(str, sizes))}")
        print(f"  seconds   {'  '.join(f'{s:8.3f}' for s in seconds)}", end="")
        print(f"   exponent {_exponent(sizes, seconds):.2f}")
        print(f"  ±         {'  '.join(f'{s:8.3f}' for s in spreads)}")
        more = "  ".join(f"{m - megabytes[0]:8.0f}" for m in megabytes)
        print(f"  + MB      {more}", flush=True)
    growth_picture.draw(found, ROOT / "docs" / "images" / "growth.png")
    results = {
        what: {
            "sizes": SIZES[what],
            "seconds": [measuring.Figure(*row[:2]) for row in measured],
            "megabytes": [row[2] for row in measured],
            "exponent": _exponent(SIZES[what], [row[0] for row in measured]),
        }
        for what, measured in found.items()
    }
    print()
    measuring.print_json(machine, results)


def _in_a_process(what: str, sizes, num_devices: int = 1) -> list[list[float]]:
    """Of each size the seconds, their spread and the largest memory so far, in MB."""
    flags = f"--xla_force_host_platform_device_count={num_devices}"
    child = subprocess.run(
        [sys.executable, __file__, f"--measure={what}", "--sizes", *map(str, sizes)],
        capture_output=True,
        text=True,
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    )
    if child.returncode:
        sys.exit(child.stderr)
    return json.loads(child.stdout.splitlines()[-1])


def _exponent(sizes, seconds) -> float:
    """Slope in a double logarithmic plot of the last three."""
    import numpy as np

    return float(np.polyfit(np.log(sizes[-3:]), np.log(seconds[-3:]), 1)[0])


def _measure(what: str, sizes: list[int]) -> None:
    from reid_jax.cli import compile_cache, ending

    ending.quieten()
    compile_cache.enable()
    prepare = {
        "identities, an epoch": _epoch,
        "tracklets, embedding": lambda n, folder: _embedding(n, 4, folder),
        "frames of 64 tracklets, embedding": lambda n, folder: _embedding(
            64, n, folder
        ),
        "queries and gallery, ranking": _ranking,
        "queries and gallery, re-ranking": _reranking,
        "devices, a training step": lambda n, folder: _step(),
    }
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            run = prepare[what](size, pathlib.Path(folder))
            run()  # compiles, or reads what was compiled
            times = measuring.figure(measuring.seconds(run) for _ in range(3))
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found.append((times.median, times.spread, kilobytes / 1024))
    print(json.dumps(found))


def _epoch(num_pids: int, folder: pathlib.Path):
    import jax

    from reid_jax.input import files as input_pipeline

    config, split = _config(), _split(num_pids, 2, 4, folder)
    step = _trainer(config)

    def run() -> None:
        batches = input_pipeline.train_batches(split, config)
        for _ in range(input_pipeline.steps_per_epoch(split, config)):
            metrics = step(next(batches))
        jax.block_until_ready(metrics)
        batches.close()

    return run


def _embedding(num_tracklets: int, num_frames: int, folder: pathlib.Path):
    from flax import nnx

    from reid_jax import steps
    from reid_jax.input import files as input_pipeline
    from reid_jax.models import build_model
    from reid_jax.runs import embeddings as embedding

    config = _config()
    split = _split(num_tracklets, 1, num_frames, folder)
    model = build_model(config.model, 8, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, _optimizer(config))
    embed = steps.make_embed_step(graphdef, config)

    def run() -> None:
        embedding.embed_tracklets(
            lambda clips: embed(state.params, state.batch_stats, clips).embedding,
            input_pipeline.eval_batches(split, config),
            len(split),
        )

    return run


def _ranking(num: int, folder: pathlib.Path):
    from reid_jax.retrieval import distances, ranking

    features, labels = _features(num)
    return lambda: ranking.evaluate(distances.l2(*features), *labels)


def _reranking(num: int, folder: pathlib.Path):
    from reid_jax.retrieval import rerank

    features, _ = _features(num // 2)
    return lambda: rerank.k_reciprocal(*features)


def _features(num: int):
    """Embeddings of `num` queries and as many of the gallery, four of each person."""
    import numpy as np

    rng = np.random.default_rng(0)
    pids = np.arange(num) // 4
    centers = rng.normal(size=(num // 4 + 1, 128))
    features = [centers[pids] + rng.normal(size=(num, 128)) for _ in range(2)]
    camids = np.zeros(num, int), np.ones(num, int)
    return [f.astype(np.float32) for f in features], (pids, pids, *camids)


def _step():
    import jax
    import numpy as np

    from reid_jax import parallel

    config = _config()
    step = _trainer(config)
    clips = config.data.p * config.data.k
    shape = (clips, config.model.clip_length, *config.model.frame_size, 3)
    batch = {
        "clips": np.random.default_rng(0).integers(256, size=shape).astype(np.uint8),
        "labels": np.arange(clips, dtype=np.int32) // config.data.k,
    }
    batch = parallel.shard(batch, parallel.data_mesh())

    def run() -> None:
        for _ in range(5):
            metrics = step(batch)
        jax.block_until_ready(metrics)

    return run


def _config():
    from configs import base

    config = base.get_config()
    config.model.update(backbone="resnet14_w8", frame_size=(64, 32), clip_length=2)
    config.data.update(p=16, k=2)
    return config


def _optimizer(config):
    from reid_jax import steps

    return steps.build_optimizer(config, lambda step: 1e-3)


def _trainer(config):
    """The function batch → metrics that trains a small network a step further."""
    from flax import nnx

    from reid_jax import parallel, steps
    from reid_jax.models import build_model

    optimizer = _optimizer(config)
    model = build_model(config.model, 1024, rngs=nnx.Rngs(0))
    graphdef, state = steps.initial_state(model, optimizer)
    carry = [parallel.replicate(state, parallel.data_mesh())]
    train_step = steps.make_train_step(graphdef, optimizer, config)

    def step(batch):
        carry[0], metrics = train_step(carry[0], batch)
        return metrics

    return step


def _split(num_pids: int, per_pid: int, num_frames: int, folder: pathlib.Path):
    """Tracklets of 64 different JPEGs of 128×64."""
    import numpy as np
    from PIL import Image

    from reid_jax.input import frame_cache

    rng = np.random.default_rng(0)
    images = []
    for _ in range(64):
        file = io.BytesIO()
        blocks = rng.integers(256, size=(16, 8, 3)).repeat(8, 0).repeat(8, 1)
        Image.fromarray(blocks.astype(np.uint8)).save(file, "JPEG")
        images.append(file.getvalue())
    examples = (
        {
            "frames": [images[(pid + t) % 64] for t in range(num_frames)],
            "pid": pid + 1,
            "camid": camid,
            "tracklet": f"{pid}-{camid}",
        }
        for pid in range(num_pids)
        for camid in range(per_pid)
    )
    return frame_cache.open_split(folder, "train", lambda: examples)


if __name__ == "__main__":
    main()
