"""Loads weights of the original PyTorch networks into ours, and exports them again.

A parameter's torch name is its path in our module. Only `kernel` differs: it is torch's
`weight`, with the axes (out, in) moved from the front to the end. Names of other
checkpoints for the same module are translated by `canonical_name`.

    python -m reid_jax.convert_weights --help
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx

from reid_jax.errors import UserError
from reid_jax.models.c3d import C3D
from reid_jax.models.checkpoint_files import read_checkpoint
from reid_jax.models.video_reid import VideoReID, VideoReID3D

__all__ = [
    "LoadReport",
    "WeightsError",
    "canonical_name",
    "export_torch_weights",
    "load_torch_weights",
    "our_parameter",
    "published_weights",
    "read_checkpoint",
]

# Video-Person-ReID keeps the trunk in an nn.Sequential: "base.4.0.conv1.weight".
_SEQUENTIAL = {
    "0": "conv1",
    "1": "bn1",
    "4": "layer1",
    "5": "layer2",
    "6": "layer3",
    "7": "layer4",
}
# C3D as two nn.Sequential, with the ReLUs, poolings and dropouts in between.
_C3D_SEQUENTIAL = {
    "features.0": "conv1",
    "features.3": "conv2",
    "features.6": "conv3a",
    "features.8": "conv3b",
    "features.11": "conv4a",
    "features.13": "conv4b",
    "features.16": "conv5a",
    "features.18": "conv5b",
    "classifier.0": "fc6",
    "classifier.3": "fc7",
    "classifier.6": "fc8",
}
# C3D's blobs: "conv1a.0", "fc6-1/bias", "conv3b_w", "backbone.conv1a.conv.weight", …
_C3D_BLOB = re.compile(
    r"(?:backbone\.)?(conv[12]a?|conv[345][ab]|fc[678])(?:-1)?(?:\.conv)?"
    r"[./_](?:(weights?|w|0)|(bias|biases|b|1))"
)


class WeightsError(UserError):
    """Weights that do not fit a network; `problems` has one text per key."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__(
            "The weights do not fit the network, nothing was loaded:\n  "
            + "\n  ".join(problems)
            + "\nModules that may keep their initialisation are named in `partial`."
        )


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """Result of `load_torch_weights`."""

    loaded: list[str]  # canonical names of parameters
    initialised: list[str]  # canonical names of parameters that were not loaded
    unused: list[str]  # keys of the `state_dict`


def load_torch_weights(
    module: nnx.Module,
    state_dict: Mapping[str, np.ndarray],
    *,
    partial: Sequence[str] = (),
) -> LoadReport:
    """Copies weights with torch's names and layouts into `module`, in place.

    It understands the names of torchvision's and timm's ResNet, of Video-Person-ReID,
    of 3D-ResNets-PyTorch and of C3D in three styles, with or without `module.` in
    front. `num_batches_tracked` is ignored.

    Args:
        module: the network or its trunk.
        state_dict: arrays by name.
        partial: prefixes of modules ("classifier", "fc", "lstm", …) that may be
            missing, unused or misshaped. A layer of them that does not fit as a whole
            keeps its initialisation.

    Raises:
        WeightsError: lists every missing, unused, misshaped and doubled key, and those
            that are not finite numbers in the network's dtype. Nothing was loaded.
    """
    if isinstance(partial, str):
        partial = (partial,)
    state = nnx.state(module, nnx.Any(nnx.Param, nnx.BatchStat))
    targets = {
        canonical_name(_torch_name(path)): (path, leaf)
        for path, leaf in nnx.to_flat_state(state)
    }
    by_name, problems = {}, []
    for key, value in state_dict.items():
        if key.endswith("num_batches_tracked"):
            continue
        name = canonical_name(key)
        if name in by_name:
            problems.append(f"twice: {by_name[name][0]} and {key}")
        by_name[name] = (key, in_canonical_shape(name, value))
    values = {}
    for name, (path, leaf) in targets.items():
        shape = _torch_shape(path, leaf.shape)
        key, value = by_name.get(name, (None, None))
        names = (name, _published_name(_torch_name(path), module), key)
        if key is None:
            if not _is_partial(names, partial):
                problems.append(f"missing: {name} {shape}")
        elif value.shape != shape:
            if not _is_partial(names, partial):
                problems.append(
                    f"misshaped: {key} {value.shape}, the network has {shape}"
                )
        elif not jnp.issubdtype(value.dtype, jnp.floating):
            problems.append(f"no floating-point numbers: {key} {value.dtype}")
        elif not np.isfinite(_cast(value, leaf.dtype)).all():
            problems.append(f"not finite in {leaf.dtype}: {key} {value.shape}")
        else:
            values[name] = value
    for name, (key, value) in by_name.items():
        if name not in targets and not _is_partial((name, key), partial):
            problems.append(f"unused: {key} {value.shape}")
    if problems:
        raise WeightsError(problems)
    # A layer is loaded completely or not at all: no new weight with an old bias.
    incomplete_layers = {
        name.rpartition(".")[0] for name in targets if name not in values
    }
    values = {
        k: v for k, v in values.items() if k.rpartition(".")[0] not in incomplete_layers
    }
    for name, value in values.items():
        path, leaf = targets[name]
        leaf[...] = jnp.asarray(_from_torch(path, value), leaf.dtype)
    nnx.update(module, state)
    return LoadReport(
        loaded=list(values),
        initialised=[name for name in targets if name not in values],
        unused=[key for name, (key, _) in by_name.items() if name not in values],
    )


def export_torch_weights(module: nnx.Module) -> dict[str, np.ndarray]:
    """Exports `module`'s weights under the original code's names, in torch's layouts.

    The inverse of `load_torch_weights`. The names are Video-Person-ReID's for a 2-D
    network (`base.0.weight`, …), 3D-ResNets-PyTorch's or C3D's for a 3-D one, and
    torchvision's for a trunk alone. `num_batches_tracked` is written as 0.
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


def published_weights(state_dict: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames weights to the published names of their style, in PyTorch's shapes.

    A leading `module.` is removed; C3D in any style gets the names `conv1` … `fc8`.

    Raises:
        UserError: two keys name the same parameter.
    """
    is_c3d = any(canonical_name(key) == "fc6.weight" for key in state_dict)
    renamed, first_key, doubled = {}, {}, []
    for key, value in state_dict.items():
        name = key.removeprefix("module.")
        if is_c3d:
            name = re.sub(r"^classifier\.", "fc8.", canonical_name(key))
        if name in renamed:
            doubled.append(f"twice: {first_key[name]} and {key}")
        first_key[name] = key
        renamed[name] = in_canonical_shape(canonical_name(key), value)
    if doubled:
        raise UserError("Keys name the same parameter:\n  " + "\n  ".join(doubled))
    return renamed


def canonical_name(key: str) -> str:
    """Translates a key to our torch name: torchvision's or C3D's, and `classifier`.

    "module.base.4.0.conv1.weight" → "layer1.0.conv1.weight", "fc.bias" and "fc8.bias" →
    "classifier.bias", "features.0.weight" and "conv1a.0" → "conv1.weight".
    """
    name = key.removeprefix("module.")
    if match := re.fullmatch(r"base\.([^.]+)\.(.+)", name):
        name = f"{_SEQUENTIAL.get(match[1], match[1])}.{match[2]}"
    elif match := re.fullmatch(r"((?:features|classifier)\.\d+)\.(weight|bias)", name):
        name = f"{_C3D_SEQUENTIAL.get(match[1], match[1])}.{match[2]}"
    elif match := _C3D_BLOB.fullmatch(name):
        layer = {"conv1a": "conv1", "conv2a": "conv2"}.get(match[1], match[1])
        name = f"{layer}.{'weight' if match[2] else 'bias'}"
    return re.sub(r"^(fc|fc8)\.", "classifier.", name)


def our_parameter(key: str, shape: Sequence[int]) -> tuple[str, tuple[int, ...]] | None:
    """Path and shape that a parameter of a checkpoint has in our networks.

    None for a name that none of our networks has.
    """
    module, _, leaf = canonical_name(key).rpartition(".")
    head = module.split(".")[0]
    if not re.fullmatch(
        r"conv[1-5][ab]?|bn1|layer[1-4]|fc[67]|bottleneck|classifier|lstm|gru|attention_\w+",
        head,
    ):
        return None
    if head in ("lstm", "gru") or head.startswith("attention_"):
        module = f"temporal.{module}"
    elif head not in ("bottleneck", "classifier"):
        module = f"base.{module}"
    shape = tuple(shape)
    if leaf == "weight" and len(shape) > 1:
        leaf, shape = "kernel", (*shape[2:], shape[1], shape[0])
    return f"{module}.{leaf}", shape


def in_canonical_shape(name: str, value: np.ndarray) -> np.ndarray:
    """Returns a parameter's value in PyTorch's shape; `name` is its canonical name.

    Caffe's blobs can have additional axes of length 1 in front.
    """
    value = np.asarray(value)
    if not re.match(r"(conv\d[ab]?\.bias|(fc[67]|classifier)\.)", name):
        return value
    num_axes = 1 if name.endswith("bias") else 2
    while value.ndim > num_axes and value.shape[0] == 1:
        value = value[0]
    return value


def _cast(value: np.ndarray, dtype) -> np.ndarray:
    with np.errstate(over="ignore"):  # the caller reports infinite values
        return np.asarray(value).astype(dtype)


def _torch_name(path: tuple) -> str:
    """Torch key for the path of a variable; `temporal` is omitted from the path."""
    parts = [str(part) for part in path if part != "temporal"]
    if parts[-1] == "kernel":
        parts[-1] = "weight"
    return ".".join(parts)


def _to_torch(path: tuple, value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, (-1, -2), (0, 1)) if path[-1] == "kernel" else value


def _from_torch(path: tuple, value: np.ndarray) -> np.ndarray:
    return np.moveaxis(value, (0, 1), (-1, -2)) if path[-1] == "kernel" else value


def _torch_shape(path: tuple, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:-3:-1], *shape[:-2]) if path[-1] == "kernel" else shape


def _published_name(name: str, module: nnx.Module) -> str:
    """Translates our torch name to the original code's key."""
    if isinstance(module, VideoReID3D):
        classifier = "fc8." if isinstance(module.base, C3D) else "fc."
        return name.removeprefix("base.").replace("classifier.", classifier)
    match = re.match(r"base\.([^.]+)\.(.+)", name)
    if match and isinstance(module, VideoReID):
        number = {v: k for k, v in _SEQUENTIAL.items()}[match[1]]
        return f"base.{number}.{match[2]}"
    return name


def _is_partial(names: Sequence[str | None], partial: Sequence[str]) -> bool:
    """Whether `partial` names a parameter's module, by any of the parameter's names."""
    prefixes = tuple(p.removesuffix(".") + "." for p in partial)
    plain_names = (name.removeprefix("module.") for name in names if name)
    # Some checkpoints call C3D's fc6 "classifier.0": that is no classifier.
    return any(
        name.startswith(prefixes) and not re.match(r"classifier\.\d", name)
        for name in plain_names
    )
