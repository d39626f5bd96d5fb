"""Variants of a config, written after its name: configs/rnn.py:cell=gru,output=last

A config's `get_config(variant)` says which of `VARIANTS` it takes. The configs of paper
1 take `FOR_ALL` and those of paper 2 `FOR_SCORES`, besides a few more each.
"""

import re
from collections.abc import Iterable, Mapping

from ml_collections import config_dict

Value = str | int | float
Allowed = tuple[str, ...] | type[int] | type[float]

VARIANTS = {
    "T": ("model.clip_length", int),  # frames in a clip
    "pool": ("model.temporal", ("avg", "max")),
    "norm": ("model.attention_norm", ("softmax", "sigmoid")),
    "cell": ("model.temporal", ("lstm", "gru")),
    "output": ("model.rnn_output", ("mean", "last")),
    "dim": ("model.rnn_dim", int),
    "metric": ("eval.metric", ("l2", "cosine", "xqda", "kissme")),
    "rerank": ("eval.rerank", ("no", "yes")),
    "frames": ("eval.max_frames", int),  # first frames of a tracklet to score
    "noise": ("eval.noise", float),  # variance
    "backbone": ("model.backbone", ("resnet50", "resnet50_ibn_a")),
    "preset": (None, ("paper", "small")),
}
"""Variant → the field it sets and its values: names, int from 1, or float in 0..1."""

FOR_SCORES = ("metric", "rerank", "frames", "noise")
FOR_ALL = ("T", *FOR_SCORES, "preset")


def apply(
    config: config_dict.ConfigDict, text: str, *names: str
) -> config_dict.ConfigDict:
    """Sets the fields that `text`, "name=value,…", names and returns the config.

    Args:
        config: The config, which is changed.
        text: Variants from the command line; may be empty.
        *names: Variants that this config takes besides `FOR_ALL`.

    Raises:
        ValueError: for an unknown name or value; lists the known ones.
    """
    return set_fields(config, parse(text, (*names, *FOR_ALL)))


def set_fields(
    config: config_dict.ConfigDict, values: Mapping[str, Value]
) -> config_dict.ConfigDict:
    """Sets the fields of parsed variants and returns the config."""
    for name, value in values.items():
        if name != "preset":
            value = value == "yes" if name == "rerank" else value
            config.update_from_flattened_dict({VARIANTS[name][0]: value})
    if values.get("preset") == "small":
        make_small(config)
    return config


def parse(
    text: str, names: Iterable[str], **choices: Iterable[str]
) -> dict[str, Value]:
    """The values in "name=value,…" by variant.

    Args:
        text: Variants from the command line; may be empty.
        names: Variants of `VARIANTS` that this config takes.
        **choices: Variants of this config alone, with their values. A value without a
            name sets the first of them.

    Raises:
        ValueError: for an unknown or repeated name, or an unknown value; lists the
            known ones.
    """
    allowed = {n: tuple(values) for n, values in choices.items()}
    allowed |= {name: VARIANTS[name][1] for name in names}
    values = {}
    for item in filter(None, text.split(",")):
        name, is_named, value = item.partition("=")
        if not is_named and choices:
            name, value = next(iter(choices)), item
        if name not in allowed or name in values:
            reason = "is given twice" if name in values else "is unknown"
            listed = ", ".join(allowed)
            raise ValueError(f"The variant {item!r} {reason}; known: {listed}.")
        values[name] = _value(name, value, allowed[name])
    return values


def _value(name: str, value: str, allowed: Allowed) -> Value:
    """The value of variant `name` as its type; ValueError unless it is allowed."""
    if allowed is int:
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise ValueError(
                f"The variant {name}={value!r} must be a whole number from 1."
            )
        return int(value)
    if allowed is float:
        if not _FRACTION.fullmatch(value) or float(value) > 1:
            raise ValueError(f"The variant {name}={value!r} must be in 0..1.")
        return float(value)
    if value not in allowed:
        raise ValueError(
            f"The variant {name}={value!r} is unknown; known: {', '.join(allowed)}."
        )
    return value


_FRACTION = re.compile(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", re.ASCII)


def slug(config_file: str) -> str:
    """The folder name of a config: "rnn-cell-gru-T-8" of "rnn.py:cell=gru,T=8"."""
    file, _, text = config_file.partition(":")
    stem = file.rpartition("/")[2].removesuffix(".py")
    return "-".join([stem, *text.replace("=", ",").split(",")]) if text else stem


_SMALL_BACKBONES = {
    "resnet50": "resnet14_w16",
    "resnet50_ibn_a": "resnet14_w16_ibn_a",
    "resnet3d50": "resnet3d14_w8",
}
_WIDTH_DIVISOR = 8
"""Layers after the backbone are this many times narrower than the paper's."""

RNN_START = "image.py"
"""Config whose small-preset run initialises the small RNN runs."""


def make_small(config: config_dict.ConfigDict) -> None:
    """Shrinks a config to some minutes of two CPU cores on `walkers/street_small`.

    There is one recipe for all temporal models, from random weights. 3-D networks learn
    at the rate of the others. RNN start from a trained CNN (`RNN_START`), as the
    paper's do: from random weights their outputs are so alike that the triplet loss
    draws them to a single point.
    """
    config.model.backbone = _SMALL_BACKBONES[config.model.backbone]
    for field in ("attention_dim", "rnn_dim"):
        config.model[field] = max(1, config.model[field] // _WIDTH_DIVISOR)
    # With the ReLUs of the published code, all attention scores of so small a network
    # soon are 0 and stay there. Without them these are the paper's equations.
    config.model.attention_relu = False
    config.model.frame_size = (64, 32)

    config.data.name = "walkers/street_small"
    config.data.normalization = "imagenet"
    config.data.p = 16

    is_rnn = config.model.temporal in ("lstm", "gru")
    config.train.learning_rate = 2e-3 / 3 if is_rnn else 2e-3  # P1 Sec. 4.2
    config.train.epochs = 46
    config.train.decay_every_epochs = 18
    config.train.warmup_epochs = 2.0
    config.train.eval_every_epochs = 23
    config.train.checkpoint_every_epochs = 10
