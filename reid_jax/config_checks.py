"""Checks a config and reports all wrong values in one error."""

import math
import operator

from ml_collections import config_dict

from configs import base
from reid_jax import clips, losses, steps
from reid_jax.errors import UserError
from reid_jax.input import jitter, pixels
from reid_jax.input import source as sources
from reid_jax.report import network as network_pictures
from reid_jax.retrieval import ranking
from reid_jax.scoring import metrics

LARGEST_SEED = 2**63 - 1
"""Largest seed that jax.random.key accepts; it uses the last 32 bits, NumPy all."""

_LARGEST_SIGMA = 10.0  # pixels; such a blur has 60 taps along either axis

_POSITIVE = (
    "data.num_persons",
    "data.p",
    "data.k",
    "loss.margin",
    "loss.circle_scale",
    "loss.cosine_scale",
    "train.learning_rate",
    "train.accumulate",
    "train.epochs",
    "train.decay_every_epochs",
    "train.decay_factor",
    "train.eval_every_epochs",
    "train.checkpoint_every_epochs",
    "train.log_every_steps",
    "eval.batch_clips",
    "eval.max_frames",
    "eval.rerank_k1",
    "eval.rerank_k2",
    "eval.expansion_k",
    "eval.kissme_dim",
    "eval.xqda_regularizer",
)
_NOT_NEGATIVE = (
    "train.max_steps",
    "train.momentum",
    "train.weight_decay",
    "loss.triplet_weight",
    "loss.cross_entropy_weight",
    "augment.brightness",
    "augment.contrast",
    "augment.saturation",
    "augment.white_balance",
    "augment.gamma",
    "loss.center_weight",
    "eval.expansion_alpha",
    "loss.circle_margin",
    "loss.cosine_margin",
)
_FILES_ONLY = {
    "data.resize": None,
    "data.sampling": "consecutive",
    "data.cache": "disk",
}
"""Defaults of fields that may only change with data.source="files"."""

_FRACTIONS = (
    "augment.flip",
    "augment.crop",
    "augment.erase",
    "augment.jitter",
    "augment.autocontrast",
    "augment.grayscale",
    "augment.blur",
    "loss.label_smoothing",
    "eval.noise",
    "eval.rerank_lambda",
)


def check_config(config: config_dict.ConfigDict) -> None:
    """Raises one UserError that lists every field with an invalid value.

    `config.model` is checked where the network is built; fields that depend on the
    dataset are checked where it is read.
    """
    choices = {
        "data.source": sources.SOURCES,
        "data.cache": ("disk", "device"),
        "data.sampling": clips.SAMPLINGS,
        "data.normalization": pixels.NORMALIZATIONS,
        "loss.triplet_reduction": ("mean", "sum"),
        "loss.metric": losses.METRIC_LOSSES,
        "loss.classifier": losses.CLASSIFIER_LOSSES,
        "train.optimizer": steps.OPTIMIZERS,
        "eval.ap": ranking.AP_RULES,
        "eval.map": network_pictures.MAPS,
        "eval.checkpoint": ("latest", "best"),
    }
    problems = metrics.problems(config.eval.metric)
    for field in _POSITIVE:
        value = _get(config, field)
        if value is not None and not value > 0:
            problems.append(f"config.{field}={value} must be above 0")
    if not config.data.data_dir:
        problems.append("config.data.data_dir must be a folder")
    if not 0 <= config.seed <= LARGEST_SEED:
        problems.append(f"config.seed={config.seed} must be in 0..{LARGEST_SEED}")
    for field in _NOT_NEGATIVE:
        value = _get(config, field)
        if value is not None and not value >= 0:
            problems.append(f"config.{field}={value} must not be below 0")
    mixture, weights = config.data.mixture, config.data.mixture_weights
    if len(set(map(base.whole_dataset, mixture))) < len(mixture):
        problems.append(
            f"config.data.mixture={tuple(mixture)} names one data set twice"
        )
    if weights and (
        len(weights) != len(mixture)
        or not all(type(w) in (int, float) and 1e-6 <= w <= 1e6 for w in weights)
    ):
        problems.append(
            f"config.data.mixture_weights={tuple(weights)} must be a number "
            f"from 1e-6 to 1e6 for each of config.data.mixture={tuple(mixture)}"
        )
    traced = tuple(config.train.profile_steps)
    if traced and not (
        len(traced) == 2
        and all(type(step) is int for step in traced)
        and 1 <= traced[0] <= traced[1]
    ):
        problems.append(
            f"config.train.profile_steps={traced} must be (first, last) from 1 on"
        )
    if not config.loss.triplet_weight + config.loss.cross_entropy_weight > 0:
        problems.append("config.loss: one of the two weights must be above 0")
    has_margin = config.loss.classifier != "softmax"
    if has_margin != (config.model.classifier == "cosine"):
        problems.append(
            f"config.loss.classifier={config.loss.classifier!r} and "
            f"config.model.classifier={config.model.classifier!r}: cosface and arcface "
            "go with 'cosine', softmax with 'linear'"
        )
    if config.loss.classifier == "arcface" and config.loss.cosine_margin >= math.pi / 2:
        problems.append(
            f"config.loss.cosine_margin={config.loss.cosine_margin} is an angle in "
            "radians for arcface, below π/2"
        )
    if (config.loss.center_weight > 0) != config.model.centers:
        problems.append(
            f"config.loss.center_weight={config.loss.center_weight} and "
            f"config.model.centers={config.model.centers}: a weight above 0 needs "
            "centers=True, and centers a weight"
        )
    resize, frame_size = config.data.resize, config.model.frame_size
    sizes = {"model.frame_size": frame_size}
    if resize is not None:
        sizes["data.resize"] = resize
    wrong_fields = [field for field, size in sizes.items() if not _is_size(size)]
    problems += [
        f"config.{field}={tuple(sizes[field])} must be (height, width) in pixels"
        for field in wrong_fields
    ]
    if resize and not wrong_fields and any(map(operator.lt, resize, frame_size)):
        problems.append(
            f"config.data.resize={tuple(resize)} must be at least "
            f"config.model.frame_size={tuple(frame_size)}"
        )
    if config.data.source == "render":
        problems += [
            f"config.{field}={_get(config, field)!r} is for config.data.source='files'"
            for field, default in _FILES_ONLY.items()
            if _get(config, field) != default
        ]
    if not 0 <= config.augment.hue <= 0.5:
        problems.append(f"config.augment.hue={config.augment.hue} must be in 0..0.5")
    if not jitter.SMALLEST_SIGMA <= config.augment.blur_sigma <= _LARGEST_SIGMA:
        problems.append(
            f"config.augment.blur_sigma={config.augment.blur_sigma} must be in "
            f"{jitter.SMALLEST_SIGMA}..{_LARGEST_SIGMA:g} pixels"
        )
    if config.data.source == "files" and config.data.num_persons is not None:
        problems.append("config.data.num_persons is for config.data.source='render'")
    if config.data.normalization == "c3d_cube":
        cube_size = pixels.CUBE_SHAPE[2:]
        if not config.data.mean_cube:
            problems.append(
                "config.data.normalization='c3d_cube' needs config.data.mean_cube"
            )
        if tuple(resize or frame_size) != cube_size:
            problems.append(
                "config.data.normalization='c3d_cube' is for frames resized to "
                f"config.data.resize={cube_size}, not {tuple(resize or frame_size)}"
            )
    for field in _FRACTIONS:
        if not 0 <= _get(config, field) <= 1:
            problems.append(f"config.{field}={_get(config, field)} must be in 0..1")
    for field, allowed in choices.items():
        if _get(config, field) not in allowed:
            names = ", ".join(allowed)
            problems.append(f"config.{field}={_get(config, field)!r}; known: {names}")
    if problems:
        raise UserError("; ".join(problems) + ".")


def _is_size(size) -> bool:
    return len(size) == 2 and all(type(n) is int and n > 0 for n in size)


def _get(config: config_dict.ConfigDict, field: str):
    group, name = field.split(".")
    return config[group][name]
