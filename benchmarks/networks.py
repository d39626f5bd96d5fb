"""Speed of training and embedding against PyTorch: the same weights, clips and threads.

python benchmarks/networks.py                      (make bench)
python benchmarks/networks.py --cases=resnet50 --clips=32 --dtype=bfloat16   on a GPU
python benchmarks/networks.py --xla                with XLA's own convolutions

A whole step of each: normalised pixels, network, both losses, gradient, Adam; and the
embedding of clips. Both sides run in this process and take turns, so that what else the
machine does slows both; a turn is several calls, one after the other as in training, of
which the first is not counted. On the GPU if both see one. PyTorch gets channels last
(on a CPU first in 3-D, which is faster there), its fastest Adam, and on a GPU TF32 or
autocast to --dtype and torch.compile. Medians of --rounds, and half the distance
between the quartiles as spread; runs of the script differ by more. A ratio is that of
each round. Then how much of this machine's own rates, measured, ours reaches:
operations as written against a large product's, bytes by XLA's account against those of
a copy in place, and the memory of a call.
"""

import dataclasses
import functools
import importlib.util
import os
import pathlib
import sys
from collections.abc import Callable, Iterator

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some
# Beside other busy processes, OpenMP threads that spin cost PyTorch 30 ms a layer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if importlib.util.find_spec("torch") is None:
    sys.exit("benchmarks/networks.py compares with PyTorch: pip install torch")

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import machine_rates, measuring, torch_networks
from configs import attn_tconv, c3d, resnet3d50
from reid_jax import steps
from reid_jax.models import build_model, convolution

CASES = {"resnet50": attn_tconv, "resnet3d50": resnet3d50, "c3d": c3d}
"""Name of the trunk: the paper's config that has it."""

_NUM_PIDS = 625  # of MARS


def main() -> None:
    parser = measuring.parser(__doc__, rounds=7)
    parser.add_argument("--cases", default=",".join(CASES), help="trunks, with commas")
    clips = measuring.at_least(2)
    parser.add_argument("--clips", type=clips, default=4, help="of a batch, even")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--xla", action="store_true", help="XLA's own convolutions")
    args = parser.parse_args()
    cases = args.cases.split(",")
    if set(cases) - set(CASES) or len(set(cases)) < len(cases):
        parser.error(f"--cases={args.cases}: different ones of {', '.join(CASES)}")
    if args.clips % 2:
        parser.error(f"--clips={args.clips}: an even number, two of each person")
    device = _same_device_and_threads()
    machine = measuring.begin(args)
    machine["threads"] = torch.get_num_threads()
    peaks = machine_rates.measure(args.dtype)
    product, copy = peaks.flops / 1e12, peaks.bytes / 1e9
    print(f"a product: {product:.3f} TFLOP/s, a copy: {copy:.1f} GB/s")
    results = {}
    with convolution.by_xla(args.xla):
        for name in cases:
            for label, frames, program, pair in _calls(name, args, device):
                print(f"\n{label}, {frames} frames, {args.dtype}")
                results[label] = _measured(frames, program, pair, peaks, args.rounds)
    measuring.print_json(machine | dataclasses.asdict(peaks), results)


def _same_device_and_threads() -> torch.device:
    if not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")
    # XLA's pool has a thread for each core that this process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    torch.set_num_threads(len(affinity(0)) if affinity else os.cpu_count())
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, which is JAX's default
    return torch.device("cuda" if jax.default_backend() == "gpu" else "cpu")


def _calls(name: str, args, device: torch.device) -> Iterator[tuple]:
    """Label, frames of a call, our program, and both sides as functions."""
    config = CASES[name].get_config()
    config.model.dtype = args.dtype
    config.data.normalization = "imagenet"  # the same pixels for both
    config.loss.update(triplet_weight=1.0, label_smoothing=0.1)
    config.train.update(optimizer="adam", learning_rate=1e-4)
    config.data.update(p=args.clips // 2, k=2)
    shape = args.clips, config.model.clip_length, *config.model.frame_size, 3
    clips = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    labels = np.repeat(np.arange(config.data.p), 2).astype(np.int32)
    model = build_model(config.model, _NUM_PIDS, rngs=nnx.Rngs(0))
    network = torch_networks.from_ours(name, model, config, device)
    their_embedding, their_step = torch_networks.embedding_and_step(
        network, clips, labels, args.dtype
    )

    optimizer = steps.build_optimizer(config, lambda step: config.train.learning_rate)
    graphdef, state = steps.initial_state(model, optimizer)
    weights = jax.tree.map(jnp.array, (state.params, state.batch_stats))
    batch = {"clips": jnp.asarray(clips), "labels": jnp.asarray(labels)}
    embed_step = steps.make_embed_step(graphdef, config)
    embed = machine_rates.compiled(embed_step, *weights, batch["clips"])
    train_step = steps.make_train_step(graphdef, optimizer, config)
    train = machine_rates.compiled(train_step, state, batch)

    def our_embedding():
        return embed.call(*weights, batch["clips"]).embedding

    def our_step():
        nonlocal state
        state, metrics = train.call(state, batch)
        return metrics

    expected = their_embedding().float().cpu().numpy()
    error = np.abs(our_embedding() - expected).max() / np.abs(expected).max()
    is_exact = device.type == "cpu" and args.dtype == "float32"
    assert error < (1e-3 if is_exact else 5e-2), f"{name}: {error:.1e}"
    frames = args.clips * config.model.clip_length
    yield f"{name} embedding", frames, embed, (our_embedding, their_embedding)
    yield f"{name} training step", frames, train, (our_step, their_step)


def _measured(frames: int, program, pair, peaks, rounds: int) -> dict:
    """Prints and returns the rates of both sides, and ours beside the machine's."""
    on_gpu = jax.default_backend() == "gpu"
    num_calls = 20 if on_gpu else 2  # of a turn: a step there takes milliseconds

    def call(run: Callable, times: int = 1) -> None:
        for _ in range(times):
            result = run()
        jax.block_until_ready(result)
        if on_gpu:
            torch.cuda.synchronize()

    def rate(run: Callable) -> float:
        # Memory that the other side's turn left to the system is had again by this.
        call(run)
        return frames / measuring.seconds(lambda: call(run, num_calls)) * num_calls

    if on_gpu:
        call(pair[1])  # PyTorch compiles
        torch.cuda.reset_peak_memory_stats()
    sides = zip(("reid_jax", "PyTorch"), pair, strict=True)
    measures = {name: functools.partial(rate, run) for name, run in sides}
    found = measuring.in_turn(measures, rounds)
    results = measuring.compare(found, "PyTorch", "frames/s", "8.1f")
    calls = measuring.figure(found["reid_jax"]).median / frames  # a second
    shares = calls * program.flops / peaks.flops, calls * program.bytes / peaks.bytes
    memory = {"reid_jax": program.memory / 2**20}
    if on_gpu:
        memory["PyTorch"] = torch.cuda.max_memory_allocated() / 2**20
    print("ours: {:.2f} of the product's rate, {:.2f} of the copy's".format(*shares))
    print(", ".join(f"{name}: {size:.0f} MB" for name, size in memory.items()), end="")
    print(f"; compiled in {program.compile_seconds:.1f} s", flush=True)
    asked = dataclasses.replace(program, call=None)
    return results | {"shares": shares, "megabytes": memory, "program": asked}


if __name__ == "__main__":
    main()
