"""Speed of training and embedding against PyTorch: the same weights, clips and threads.

python benchmarks/networks.py                      (make bench)
python benchmarks/networks.py --cases=resnet50 --clips=32 --dtype=bfloat16   on a GPU
python benchmarks/networks.py --xla                with XLA's own convolutions

A whole step of each: normalised pixels, network, both losses, gradient, Adam; and the
embedding of clips. Both sides run in this process and take turns, so that what else the
machine does slows both; a turn is several calls, one after the other as in training, of
which the first is not counted. On the GPU if both see one. PyTorch gets channels last
(on a CPU first in 3-D, which is faster there; --last: last there too), its fastest
Adam, TF32 or autocast to --dtype on a GPU, and torch.compile there or with --compile.
Medians of --rounds, and half the distance between the quartiles as spread; runs of the
script differ by more. A ratio is that of each round. Then how much of this machine's
own rates, measured, ours reaches: operations as written against a large product's,
bytes by XLA's account against those of a copy in place, and the memory of a call.
"""

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import sys

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some
# Beside other busy processes, OpenMP threads that spin cost PyTorch 30 ms a layer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from configs import attn_tconv, c3d, resnet3d50
from reid_jax import steps
from reid_jax.models import build_model, convolution, torch_weights

if importlib.util.find_spec("torch") is None:
    sys.exit("benchmarks/networks.py compares with PyTorch: pip install torch")

import torch

from benchmarks import machine_rates, measuring, torch_networks

CASES = {"resnet50": attn_tconv, "resnet3d50": resnet3d50, "c3d": c3d}
"""Name of the trunk: the paper's config that has it."""

_NUM_PIDS = 625  # of MARS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", default=",".join(CASES), help="trunks, with commas")
    clips = measuring.at_least(2)
    parser.add_argument("--clips", type=clips, default=4, help="of a batch, even")
    parser.add_argument("--rounds", type=measuring.at_least(1), default=7)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--compile", action="store_true", help="torch.compile on a CPU")
    parser.add_argument(
        "--last", action="store_true", help="PyTorch: channels last 3-D"
    )
    parser.add_argument("--xla", action="store_true", help="XLA's own convolutions")
    args = parser.parse_args()
    cases = args.cases.split(",")
    if set(cases) - set(CASES) or len(set(cases)) < len(cases):
        parser.error(f"--cases={args.cases}: different ones of {', '.join(CASES)}")
    if args.clips % 2:
        parser.error(f"--clips={args.clips}: an even number, two of each person")
    if args.xla:
        convolution.is_ours = lambda: False
    device = _same_device_and_threads()
    machine = measuring.begin(args)  # huge pages for both sides
    machine["threads"] = torch.get_num_threads()
    most = machine_rates.measure(args.dtype)
    print(f"\n{args.dtype}, frames/s", end="")
    print(f"{'ours':>25}{'PyTorch':>17}{'ratio':>13}{'compiled in':>17}")
    results = {}
    for name in cases:
        for what, frames, program, pair in _runs(name, args, device):
            rates, their_memory = _rates(pair, frames, args.rounds)
            label = f"{name} {what}, {frames} frames"
            ours, theirs = (measuring.figure(r) for r in rates.values())
            ratio = measuring.ratio(*rates.values())
            results[label] = {
                "frames_per_second": {"ours": ours, "pytorch": theirs},
                "ratio": ratio,
                "compile_seconds": program.compile_seconds,
                "flops_per_second": program.flops * ours.median / frames,
                "bytes_per_second": program.bytes * ours.median / frames,
                "memory": [program.memory, their_memory],
            }
            print(
                f"{label:35} {ours:7.1f} {theirs:8.1f} {ratio:7.2f} "
                f"{program.compile_seconds:7.1f} s",
                flush=True,
            )
    _print_shares(results, most)
    measuring.print_json(machine | dataclasses.asdict(most), results)


def _print_shares(results: dict[str, dict], most: machine_rates.MachineRates) -> None:
    """How much of the measured rates ours reaches."""
    columns = f"{'TFLOP/s':>10} {'share':>6} {'GB/s':>8} {'share':>6} {'memory':>9}"
    has_theirs = any(row["memory"][1] for row in results.values())  # of a GPU
    print(f"\n{'ours, of the measured':37}{columns}{'   PyTorch' * has_theirs}")
    print(
        f"{'product, copy':37}{most.flops / 1e12:10.3f} {'':6} {most.bytes / 1e9:8.1f}"
    )
    for label, row in results.items():
        flops, num_bytes = row["flops_per_second"], row["bytes_per_second"]
        memory = [f"{m / 2**20:6.0f} MB" for m in row["memory"] if m]
        print(
            f"{label:37}{flops / 1e12:10.3f} {flops / most.flops:6.2f} "
            f"{num_bytes / 1e9:8.1f} {num_bytes / most.bytes:6.2f} "
            + " ".join(f"{m:>9}" for m in memory)
        )


def _same_device_and_threads() -> torch.device:
    if not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")
    # XLA's pool has a thread for each core that this process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    torch.set_num_threads(len(affinity(0)) if affinity else os.cpu_count())
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, which is JAX's default
    return torch.device("cuda" if jax.default_backend() == "gpu" else "cpu")


def _runs(name: str, args, device):
    """What is done, its frames, our program, and (ours, PyTorch) as functions."""
    config = _config(name, args)
    shape = args.clips, config.model.clip_length, *config.model.frame_size, 3
    clips = np.random.default_rng(0).integers(256, size=shape).astype(np.uint8)
    labels = np.repeat(np.arange(config.data.p), 2).astype(np.int32)
    model = build_model(config.model, _NUM_PIDS, rngs=nnx.Rngs(0))
    network = _in_pytorch(name, model, config, args.last or device.type == "cuda")
    network = network.to(device)
    their_embedding, their_step = torch_networks.embedding_and_step(
        network, clips, labels, args.dtype, args.compile or device.type == "cuda"
    )

    optimizer = steps.build_optimizer(config, lambda step: config.train.learning_rate)
    graphdef, state = steps.initial_state(model, optimizer)
    carry = [jax.tree.map(jnp.array, state)]
    weights = jax.tree.map(jnp.array, (state.params, state.batch_stats))
    batch = {"clips": jnp.asarray(clips), "labels": jnp.asarray(labels)}
    embed_step = steps.make_embed_step(graphdef, config)
    embed = machine_rates.compiled(embed_step, *weights, batch["clips"])

    def our_embedding():
        return embed.call(*weights, batch["clips"]).embedding

    frames = args.clips * config.model.clip_length
    yield "embedding", frames, embed, (our_embedding, their_embedding)
    expected = their_embedding().float().cpu().numpy()
    error = np.abs(our_embedding() - expected).max() / np.abs(expected).max()
    is_exact = device.type == "cpu" and args.dtype == "float32"
    assert error < (1e-3 if is_exact else 5e-2), f"{name}: {error:.1e}"
    train_step = steps.make_train_step(graphdef, optimizer, config)
    train = machine_rates.compiled(train_step, carry[0], batch)

    def our_step():
        carry[0], metrics = train.call(carry[0], batch)
        return metrics

    yield "training step", frames, train, (our_step, their_step)


def _config(name: str, args):
    config = CASES[name].get_config()
    config.model.dtype = args.dtype
    config.data.normalization = "imagenet"  # the same pixels for both
    config.loss.triplet_weight = 1.0
    config.loss.label_smoothing = 0.1
    config.train.optimizer, config.train.learning_rate = "adam", 1e-4
    config.data.p, config.data.k = args.clips // 2, 2
    return config


def _in_pytorch(name: str, model, config, last: bool) -> torch_networks.Network:
    """The same network with the same weights."""
    trunk = torch_weights.export_torch_weights(model.base)
    heads = torch_weights.export_torch_weights(model)
    heads = {k: v for k, v in heads.items() if k.startswith("attention")}
    heads["classifier.weight"] = np.asarray(model.classifier.kernel[...]).T
    heads["classifier.bias"] = np.asarray(model.classifier.bias[...])
    network = torch_networks.Network(name, config.model.temporal, trunk, heads)
    is_3d = "3d" in name
    if last or not is_3d:
        network.memory_format = (torch.channels_last, torch.channels_last_3d)[is_3d]
    # The heads have kernels of other numbers of axes.
    network.base.to(memory_format=network.memory_format)
    return network


def _rates(pair, frames: int, rounds: int):
    """Frames/s of each in every round, by name, and PyTorch's memory of a GPU."""
    on_gpu = jax.default_backend() == "gpu"
    num_calls = 20 if on_gpu else 2  # of a turn: a step there takes milliseconds

    def call(run, times: int = 1) -> None:
        for _ in range(times):
            result = run()
        jax.block_until_ready(result)
        if on_gpu:
            torch.cuda.synchronize()

    def rate(run) -> float:
        # Memory that the other side's turn left to the system is had again by this.
        call(run)
        seconds = measuring.seconds(lambda: call(run, num_calls))
        return num_calls * frames / seconds

    for run in pair:
        call(run)  # PyTorch compiles
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    rates = {"ours": [], "pytorch": []}
    for _ in range(rounds):
        for found, run in zip(rates.values(), pair, strict=True):
            found.append(rate(run))
    return rates, torch.cuda.max_memory_allocated() if on_gpu else None


if __name__ == "__main__":
    main()
