"""Networks: `build_model` builds the network that `config.model` describes."""

import jax
import jax.numpy as jnp
from flax import nnx

from reid_jax.errors import UserError
from reid_jax.models import temporal
from reid_jax.models.c3d import C3D, pooled_size
from reid_jax.models.resnet import ResNet
from reid_jax.models.video_reid import VideoReID, VideoReID3D

_RESNET50 = (3, 4, 6, 3)
_RESNET14 = (1, 1, 1, 1)

_RESNETS = {
    "resnet50": {"dims": 2, "blocks": _RESNET50, "width": 64},
    "resnet3d50": {"dims": 3, "blocks": _RESNET50, "width": 64},
    # One block per stage and few channels, for tests, the demo and small studies.
    "resnet14_w16": {"dims": 2, "blocks": _RESNET14, "width": 16},
    "resnet14_w8": {"dims": 2, "blocks": _RESNET14, "width": 8},
    "resnet3d14_w8": {"dims": 3, "blocks": _RESNET14, "width": 8},
}
IBN_A = "_ibn_a"
"""Suffix of a 2-D ResNet with instance norm, for unseen cameras (Pan et al. 2018)."""

_RESNETS |= {
    f"{name}{IBN_A}": fields | {"ibn_a": True}
    for name, fields in _RESNETS.items()
    if fields["dims"] == 2
}
_C3DS = {
    "c3d": {"width": 64, "fc_dim": 4096},
    "c3d_w8": {"width": 8, "fc_dim": 128},
}
BACKBONES = (*_RESNETS, *_C3DS)

BATCH_NORMS = ("batch", "frozen")

CLASSIFIERS = ("linear", "cosine")

DTYPES = ("float32", "bfloat16", "float64")

STRIDE = 32
"""Frame pixels per cell of the feature map, in height and width, at last_stride 2."""


def build_model(config, num_pids: int, *, rngs: nnx.Rngs) -> VideoReID | VideoReID3D:
    """Builds the network of `config` (a `config.model`) for `num_pids` identities.

    Call the network with normalised clips [B, T, H, W, 3], `train=` and, when it has
    dropout, `rng=`; it returns a `ReIDOutput`. float64 needs `jax.enable_x64`.

    Raises:
        UserError: fields of `config` are invalid or do not fit together.
    """
    check_model_config(config)
    dtype = jnp.dtype(config.dtype)
    common = {"remat": config.remat, "dtype": dtype, "rngs": rngs}
    if config.backbone in _C3DS:
        clip_size = (config.clip_length, *config.frame_size)
        backbone = C3D(clip_size, **_C3DS[config.backbone], **common)
    else:
        frozen = config.batch_norm == "frozen"
        backbone = ResNet(
            **_RESNETS[config.backbone],
            last_stride=config.last_stride,
            frozen=frozen,
            **common,
        )
    head_options = {name: config[name] for name in ("neck", "classifier", "centers")}
    if backbone.dims == 3:
        return VideoReID3D(backbone, num_pids, **head_options, dtype=dtype, rngs=rngs)
    stride = STRIDE * config.last_stride // 2
    map_size = tuple(-(-pixels // stride) for pixels in config.frame_size)
    temporal_model = temporal.build_temporal(
        config, backbone.num_features, map_size, dtype=dtype, rngs=rngs
    )
    return VideoReID(
        backbone, temporal_model, num_pids, **head_options, dtype=dtype, rngs=rngs
    )


def check_model_config(config) -> None:
    """Raises one UserError that lists every invalid field of `config.model`."""
    problems = []

    def require(field: str, allowed) -> None:
        if config[field] not in allowed:
            names = ", ".join(map(repr, allowed))
            problems.append(f"config.model.{field}={config[field]!r}; known: {names}")

    require("backbone", BACKBONES)
    require("temporal", temporal.TEMPORAL)
    require("attention_norm", temporal.ATTENTION_NORMS)
    require("rnn_output", temporal.RNN_OUTPUTS)
    require("dtype", DTYPES)
    require("batch_norm", BATCH_NORMS)
    require("classifier", CLASSIFIERS)
    require("last_stride", (1, 2))
    for field in ("clip_length", "attention_dim", "rnn_dim"):
        if config[field] < 1:
            problems.append(f"config.model.{field}={config[field]} must be at least 1")
    is_size = [isinstance(n, int) and n > 0 for n in config.frame_size]
    if is_size != [True, True]:
        problems.append(
            f"config.model.frame_size={tuple(config.frame_size)} must be "
            "(height, width) in pixels"
        )
    if config.dtype == "float64" and not jax.config.jax_enable_x64:
        problems.append("config.model.dtype='float64' needs jax.enable_x64(True)")
    if not problems:
        is_2d = _RESNETS.get(config.backbone, {"dims": 3})["dims"] == 2
        if is_2d and config.temporal == "none" and config.clip_length != 1:
            problems.append(
                f"config.model.temporal='none' with the 2-D {config.backbone} takes "
                f"clips of one frame, not clip_length={config.clip_length}"
            )
        if config.backbone in _C3DS and config.last_stride != 2:
            problems.append(
                f"config.model.last_stride={config.last_stride} is of ResNets; "
                f"{config.backbone} has 2"
            )
        if not is_2d and config.temporal != "none":
            problems.append(
                f"the 3-D {config.backbone} takes config.model.temporal='none', "
                f"not {config.temporal!r}"
            )
        clip_size = (config.clip_length, *config.frame_size)
        if config.backbone in _C3DS and 0 in pooled_size(clip_size):
            problems.append(
                f"{config.backbone} takes clips of at least 16 frames of 16×16, not "
                "config.model.clip_length={} and frame_size={}×{}".format(*clip_size)
            )
    if problems:
        raise UserError("; ".join(problems) + ".")
