"""Weights of the original PyTorch networks, in and out of ours, by rule.

A parameter's torch name is its path in our module: `kernel` is torch's `weight` with
the axes (out, in, ...) in front, anything else keeps name and layout. What is left to
say is which checkpoints use other names for the same module (`_canonical_name`).
"""

import pathlib
import pickle
import re
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import nnx

from reid_jax.models.video_reid import VideoReID3D

# Video-Person-ReID keeps the trunk in an nn.Sequential: "base.4.0.conv1.weight".
_SEQUENTIAL = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
_TORCH_SUFFIXES = (".pth", ".tar", ".pt", ".pickle")


def read_checkpoint(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """Names and arrays of a checkpoint file, `{"state_dict": …}` unwrapped.

    `.safetensors` needs nothing else; `.pth`, `.pth.tar`, `.pt` and `.pickle` need
    PyTorch and are read with `weights_only=True`: no code of the file is ever run.
    Raises ValueError for other files and for files that hold more than tensors.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"No checkpoint file {path}.")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in _TORCH_SUFFIXES:
        return _read_torch(path)
    known = ", ".join((".safetensors", ".pth.tar", *_TORCH_SUFFIXES))
    raise ValueError(f"{path}: unknown kind of checkpoint; known: {known}.")


def load_torch_weights(
    module: nnx.Module,
    state_dict: Mapping[str, np.ndarray],
    *,
    partial: Sequence[str] = (),
) -> list[str]:
    """Copy `state_dict` (torch names and layouts) into `module`, in place.

    Understands the names of torchvision's ResNet, of Video-Person-ReID and of
    3D-ResNets-PyTorch, with or without `module.` in front. `partial` holds module
    prefixes ("classifier", "fc", "lstm", …) that may be missing, unused or misshaped
    and then keep their initialisation; their names are returned.
    `num_batches_tracked` is ignored.
    Raises one ValueError that lists every missing, unused and misshaped key; then
    nothing has been loaded.
    """
    state = nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))
    targets = {
        _torch_name(path): (path, leaf) for path, leaf in nnx.to_flat_state(state)
    }
    given = {
        _canonical_name(key, targets): (key, np.asarray(value))
        for key, value in state_dict.items()
        if not key.endswith("num_batches_tracked")
    }
    problems, loaded = [], {}
    for name, (path, leaf) in targets.items():
        shape = _to_torch(path, np.empty(leaf.shape, np.bool_)).shape
        if name not in given:
            if not _is_partial([name], partial):
                problems.append(f"missing: {name} {shape}")
            continue
        key, value = given[name]
        if value.shape == shape:
            loaded[path] = value
        elif not _is_partial([name, key], partial):
            problems.append(f"misshaped: {key} {value.shape}, the network has {shape}")
    for name, (key, value) in given.items():
        if name not in targets and not _is_partial([name, key], partial):
            problems.append(f"unused: {key} {value.shape}")
    if problems:
        raise ValueError(
            "The weights do not fit the network, nothing was loaded:\n  "
            + "\n  ".join(problems)
            + "\nModules that may keep their initialisation are named in `partial`."
        )
    for path, leaf in nnx.to_flat_state(state):
        if path in loaded:
            value = _from_torch(path, loaded[path])
            leaf[...] = jnp.asarray(value, leaf.dtype)
    nnx.update(module, state)
    return [name for name, (path, _) in targets.items() if path not in loaded]


def export_torch_weights(module: nnx.Module) -> dict[str, np.ndarray]:
    """`module`'s weights under the original code's names, in torch's layouts.

    The inverse of `load_torch_weights`: Video-Person-ReID's names for a 2-D network
    (`base.0.weight`, …), 3D-ResNets-PyTorch's for a 3-D one, torchvision's for a bare
    trunk. `num_batches_tracked` is written as 0.
    """
    exported = {}
    state = nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))
    for path, leaf in nnx.to_flat_state(state):
        key = _published_name(_torch_name(path), module)
        exported[key] = np.ascontiguousarray(_to_torch(path, np.asarray(leaf[...])))
        if key.endswith("running_var"):
            counter = key.removesuffix("running_var") + "num_batches_tracked"
            exported[counter] = np.zeros((), np.int64)
    return exported


def _torch_name(path: tuple) -> str:
    """Path of a variable as a torch key; the temporal model's layers are top level."""
    parts = [str(part) for part in path if part != "temporal"]
    if parts[-1] == "kernel":
        parts[-1] = "weight"
    return ".".join(parts)


def _to_torch(path: tuple, value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, (-1, -2), (0, 1)) if path[-1] == "kernel" else value


def _from_torch(path: tuple, value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, (0, 1), (-1, -2)) if path[-1] == "kernel" else value


def _canonical_name(key: str, targets: Mapping[str, object]) -> str:
    """Our torch name of a checkpoint's key."""
    name = key.removeprefix("module.")
    if match := re.match(r"base\.(\d+)\.(.+)", name):
        number, rest = match.groups()
        name = f"base.{_SEQUENTIAL.get(number, number)}.{rest}"
    if f"base.{name}" in targets:
        return f"base.{name}"
    if name.startswith("fc.") and "classifier.weight" in targets:
        return name.replace("fc.", "classifier.")
    return name


def _published_name(name: str, module: nnx.Module) -> str:
    """The original code's key of our torch name."""
    if isinstance(module, VideoReID3D):
        return name.removeprefix("base.").replace("classifier.", "fc.")
    if match := re.match(r"base\.([^.]+)\.(.+)", name):
        number = {v: k for k, v in _SEQUENTIAL.items()}[match[1]]
        return f"base.{number}.{match[2]}"
    return name


def _is_partial(names: Sequence[str], partial: Sequence[str]) -> bool:
    prefixes = tuple(p.removesuffix(".") + "." for p in partial)
    return any(name.removeprefix("module.").startswith(prefixes) for name in names)


def _read_safetensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(
            f"{path} is not a readable safetensors file: {error}"
        ) from None


def _read_torch(path: pathlib.Path) -> dict[str, np.ndarray]:
    try:
        import torch
    except ImportError:
        raise ValueError(
            f"Reading {path} needs PyTorch (pip install torch); "
            "a .safetensors file of the same weights does not."
        ) from None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{path} was refused: it is damaged or holds more than tensors ({reason})."
        ) from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = isinstance(content, dict) and all(
        isinstance(value, torch.Tensor) for value in content.values()
    )
    if not tensors:
        raise ValueError(f"{path} holds no dictionary of tensors.")
    return {
        key: value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()
        for key, value in content.items()
    }
