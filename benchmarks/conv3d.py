"""Speed of the 3-D networks against PyTorch: the same weights, clips and threads.

python benchmarks/conv3d.py              (make bench)
python benchmarks/conv3d.py --layers     the convolutions, one by one
python benchmarks/conv3d.py --xla        with XLA's 3-D convolution instead of ours

Both run in this process and take turns, so that what else the machine does slows both;
on the GPU if both see one. The fastest of --repeats rounds, in float32 (GPU: TF32).
"""

import argparse
import functools
import importlib.util
import json
import os
import pathlib
import platform
import sys
import time

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # PyTorch needs some
# Beside other busy processes, OpenMP threads that spin cost PyTorch 30 ms a layer.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from reid_jax.models import layers, torch_weights
from reid_jax.models.c3d import C3D
from reid_jax.models.resnet import ResNet

if importlib.util.find_spec("torch") is None:
    print("benchmarks/conv3d.py compares with PyTorch: pip install torch")
    sys.exit(0)

import torch
from torch import nn

_CLIPS = {"resnet3d50": (2, 4, 224, 112, 3), "c3d": (2, 16, 112, 112, 3)}
_FLOAT32 = jnp.dtype("float32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=5, help="rounds to time")
    parser.add_argument("--layers", action="store_true", help="time each convolution")
    parser.add_argument("--xla", action="store_true", help="XLA's own convolutions")
    args = parser.parse_args()
    if args.xla:
        layers.conv3d = jax.lax.conv_general_dilated
    device = _same_device_and_threads()
    print(
        f"{platform.processor() or platform.machine()}, {jax.devices()}, "
        f"{torch.get_num_threads()} threads, jax {jax.__version__}, "
        f"torch {torch.__version__}"
    )
    print(f"{'':38}{'ms ours':>9} {'PyTorch':>9} {'ratio':>6}")
    results = {}
    for name, shape in _CLIPS.items():
        clips = np.random.default_rng(0).normal(size=shape).astype("f")
        ours, theirs = _networks(name, shape)
        theirs.to(device)
        if args.layers:
            runs = _layer_runs(name, theirs, clips, device)
        else:
            runs = _network_runs(name, ours, theirs, clips, device)
        for label, pair in runs:
            ms = _fastest(pair, args.repeats)
            results[" ".join(label.split())] = [round(value, 2) for value in ms]
            print(f"{label:38}{ms[0]:9.1f} {ms[1]:9.1f} {ms[0] / ms[1]:6.2f}")
    print(json.dumps({"ms_ours_and_pytorch": results}, ensure_ascii=False))


def _same_device_and_threads() -> torch.device:
    if not torch.cuda.is_available():
        jax.config.update("jax_platforms", "cpu")
    # XLA's pool has a thread for each core that this process may use.
    affinity = getattr(os, "sched_getaffinity", None)
    torch.set_num_threads(len(affinity(0)) if affinity else os.cpu_count())
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, which is JAX's default
    return torch.device("cuda" if jax.default_backend() == "gpu" else "cpu")


def _networks(name: str, shape: tuple[int, ...]) -> tuple[nnx.Module, nn.Module]:
    if name == "c3d":
        ours = C3D(shape[1:4], dtype=_FLOAT32, rngs=nnx.Rngs(0))
        theirs = _TorchC3D(ours.fc6.in_features)
    else:
        ours, theirs = ResNet(dims=3, dtype=_FLOAT32, rngs=nnx.Rngs(0)), _TorchResNet()
    exported = torch_weights.export_torch_weights(ours)
    theirs.load_state_dict({key: torch.tensor(v) for key, v in exported.items()})
    return ours, theirs


def _network_runs(name, ours, theirs, clips, device):
    """Label and (ours, PyTorch) of the forward pass and of a gradient."""
    graphdef, params, rest = nnx.split(ours, nnx.Param, ...)
    rng = jax.random.key(0)

    def embed(params, rest, clips, train):
        model = nnx.merge(graphdef, params, rest, copy=True)
        maps = model(clips, train=train, rng=rng)
        embedding = maps.mean(axis=tuple(range(1, maps.ndim - 1)))
        return embedding, nnx.as_pure(nnx.state(model, nnx.BatchStat))

    def loss(params, rest, clips):
        embedding, statistics = embed(params, rest, clips, True)
        return jnp.mean(embedding**2), statistics

    forward = jax.jit(lambda *inputs: embed(*inputs, False)[0])
    gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))
    inputs = (params, rest, jnp.asarray(clips))
    torch_clips = _channels_first(clips, device)

    @torch.no_grad()
    def torch_forward():
        return theirs.eval()(torch_clips)

    def torch_gradient():
        theirs.train().zero_grad()
        theirs(torch_clips).square().mean().backward()

    expected = torch_forward().cpu().numpy()
    error = np.abs(forward(*inputs) - expected).max() / np.abs(expected).max()
    assert error < (1e-3 if device.type == "cpu" else 3e-2), f"{name}: {error:.1e}"
    size = "×".join(map(str, clips.shape[:-1]))
    yield f"{name} {size} forward", (lambda: forward(*inputs), torch_forward)
    yield f"{name} {size} gradient", (lambda: gradient(*inputs), torch_gradient)


def _layer_runs(name, theirs, clips, device):
    """The same for every convolution, by what it is given and what is asked of it."""
    seen = {}

    def remember(layer, inputs, output):
        key = (tuple(inputs[0].shape), layer.weight.shape, layer.stride)
        seen.setdefault(key, [layer, 0])[1] += 1

    for layer in theirs.modules():
        if isinstance(layer, nn.Conv3d):
            layer.register_forward_hook(remember)
    with torch.no_grad():
        theirs.eval()(_channels_first(clips, device))
    for ((B, C, *size), (N, _, *kernel), stride), (layer, count) in seen.items():
        module = layers.conv(
            C,
            N,
            tuple(kernel),
            stride=stride,
            padding=layer.padding,
            dtype=_FLOAT32,
            rngs=nnx.Rngs(0),
        )
        x = np.random.default_rng(0).normal(size=(B, *size, C)).astype("f")
        text = "×".join(map(str, kernel)) + (" /2" if stride[1] == 2 else "")
        text = f"{count:2}× {C}→{N} {text} of {'×'.join(map(str, size))}"
        is_first = clips.shape[-1] == C  # which never needs the gradient of its input
        for what, pair in _conv_runs(module, layer, x, device).items():
            if not (is_first and what == "input"):
                yield f"{text:31}{what:>7}", pair


def _conv_runs(module, layer, x, device):
    graphdef, state = nnx.split(module)

    def apply(state, x):
        return nnx.merge(graphdef, state)(x)

    forward = jax.jit(apply)
    x_ours = jnp.asarray(x)
    dy = forward(state, x_ours)
    to_input = jax.jit(
        lambda dy: jax.vjp(functools.partial(apply, state), x_ours)[1](dy)
    )
    to_kernel = jax.jit(
        lambda x, dy: jax.vjp(lambda state: apply(state, x), state)[1](dy)
    )
    x_theirs = _channels_first(x, device).requires_grad_()
    y = nn.functional.conv3d(
        x_theirs, layer.weight, stride=layer.stride, padding=layer.padding
    )
    dy_theirs = _channels_first(np.asarray(dy), device)

    @torch.no_grad()
    def torch_forward():
        return layer(x_theirs)

    def torch_gradient(of):
        return torch.autograd.grad(y, of, dy_theirs, retain_graph=True)

    return {
        "forward": (lambda: forward(state, x_ours), torch_forward),
        "input": (lambda: to_input(dy), lambda: torch_gradient(x_theirs)),
        "kernel": (lambda: to_kernel(x_ours, dy), lambda: torch_gradient(layer.weight)),
    }


def _channels_first(x: np.ndarray, device) -> torch.Tensor:
    return torch.tensor(np.ascontiguousarray(np.moveaxis(x, -1, 1)), device=device)


def _fastest(pair, repeats: int) -> list[float]:
    """Milliseconds of each function, the functions called in turn."""

    def finish(result):
        jax.block_until_ready(result)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    for run in pair:
        finish(run())  # compiles
    seconds = [[] for _ in pair]
    for _ in range(repeats):
        for run, times in zip(pair, seconds, strict=True):
            start = time.perf_counter()
            finish(run())
            times.append(time.perf_counter() - start)
    return [1000 * min(times) for times in seconds]


class _TorchBottleneck(nn.Module):
    def __init__(self, in_features: int, width: int, stride: int):
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv3d(in_features, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(out)
        self.downsample = nn.Sequential()
        if stride != 1 or in_features != out:
            self.downsample.append(nn.Conv3d(in_features, out, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm3d(out))

    def forward(self, x):
        y = self.bn1(self.conv1(x)).relu_()
        y = self.bn2(self.conv2(y)).relu_()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu_()


class _TorchResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        features = 64
        for stage, num_blocks in enumerate((3, 4, 6, 3)):
            layer, width = nn.Sequential(), 64 * 2**stage
            for block in range(num_blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layer.append(_TorchBottleneck(features, width, stride))
                features = 4 * width
            setattr(self, f"layer{stage + 1}", layer)

    def forward(self, x):
        x = self.bn1(self.conv1(x)).relu_()
        x = nn.functional.max_pool3d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3, 4))


class _TorchC3D(nn.Module):
    stages = (("1",), ("2",), ("3a", "3b"), ("4a", "4b"), ("5a", "5b"))

    def __init__(self, in_fc6: int):
        super().__init__()
        features, width = 3, 64
        for stage in self.stages:
            for name in stage:
                layer = nn.Conv3d(features, width, 3, padding=1)
                setattr(self, f"conv{name}", layer)
                features = width
            width = min(2 * width, 512)
        self.fc6 = nn.Linear(in_fc6, 4096)
        self.fc7 = nn.Linear(4096, 4096)

    def forward(self, x):
        for index, stage in enumerate(self.stages):
            for name in stage:
                x = getattr(self, f"conv{name}")(x).relu_()
            window = (1, 2, 2) if index == 0 else 2
            padding = (0, 1, 1) if index == 4 else 0
            x = nn.functional.max_pool3d(x, window, padding=padding)
        x = nn.functional.dropout(self.fc6(x.flatten(1)).relu_(), 0.5, self.training)
        return self.fc7(x).relu_()


if __name__ == "__main__":
    main()
