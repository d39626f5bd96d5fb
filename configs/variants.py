"""Variants of a config, named after it: configs/rnn.py:cell=gru,output=last,dim=1024

A config offers some of `VARIANTS` in its `get_config(variant)`; all of paper 1's offer
`FOR_ALL`, paper 2's `FOR_SCORES`.
"""

import re
from collections.abc import Iterable, Mapping

from ml_collections import config_dict

Value = str | int | float
Kind = tuple[str, ...] | type[int] | type[float]

VARIANTS = {
    "T": ("model.clip_length", int),  # frames of a clip
    "pool": ("model.temporal", ("avg", "max")),
    "norm": ("model.attention_norm", ("softmax", "sigmoid")),
    "cell": ("model.temporal", ("lstm", "gru")),
    "output": ("model.rnn_output", ("mean", "last")),
    "dim": ("model.rnn_dim", int),
    "metric": ("eval.metric", ("l2", "cosine", "xqda", "kissme")),
    "rerank": ("eval.rerank", ("no", "yes")),
    "frames": ("eval.max_frames", int),  # of every tracklet that is scored
    "noise": ("eval.noise", float),  # its variance
    "preset": (None, ("paper", "small")),
}
"""Name: the field it sets, and its values: a list, int from 1 or float in 0..1."""

FOR_SCORES = ("metric", "rerank", "frames", "noise")
FOR_ALL = ("T", *FOR_SCORES, "preset")


def apply(
    config: config_dict.ConfigDict, text: str, *names: str
) -> config_dict.ConfigDict:
    """Set what `text`, "name=value,…", says; it may name `names` and `FOR_ALL`.

    Raises ValueError with the known names or values.
    """
    return set_fields(config, parse(text, (*names, *FOR_ALL)))


def set_fields(
    config: config_dict.ConfigDict, values: Mapping[str, Value]
) -> config_dict.ConfigDict:
    """Set the fields of variants that were parsed."""
    for name, value in values.items():
        if name != "preset":
            value = value == "yes" if name == "rerank" else value
            config.update_from_flattened_dict({VARIANTS[name][0]: value})
    if values.get("preset") == "small":
        make_small(config)
    return config


def parse(text: str, names: Iterable[str], **own: Iterable[str]) -> dict[str, Value]:
    """The values in "name=value,…", of `names` or of a config's `own` variants.

    A value without a name is one of the first of `own`. Raises ValueError with the
    known names or values.
    """
    known = {n: tuple(values) for n, values in own.items()}
    known |= {name: VARIANTS[name][1] for name in names}
    values = {}
    for item in filter(None, text.split(",")):
        name, is_named, value = item.partition("=")
        if not is_named and own:
            name, value = next(iter(own)), item
        if name not in known or name in values:
            reason = "is given twice" if name in values else "is unknown"
            listed = ", ".join(known)
            raise ValueError(f"The variant {item!r} {reason}; known: {listed}.")
        values[name] = _value(name, value, known[name])
    return values


def _value(name: str, value: str, known: Kind) -> Value:
    if known is int:
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise ValueError(
                f"The variant {name}={value!r} must be a whole number from 1."
            )
        return int(value)
    if known is float:
        if not _FRACTION.fullmatch(value) or float(value) > 1:
            raise ValueError(f"The variant {name}={value!r} must be in 0..1.")
        return float(value)
    if value not in known:
        raise ValueError(
            f"The variant {name}={value!r} is unknown; known: {', '.join(known)}."
        )
    return value


_FRACTION = re.compile(r"[0-9]*\.?[0-9]+(e-?[0-9]+)?", re.ASCII)


def slug(config_file: str) -> str:
    """A folder's name for "configs/rnn.py:cell=gru,T=8": "rnn-cell-gru-T-8"."""
    file, _, text = config_file.partition(":")
    stem = file.rpartition("/")[2].removesuffix(".py")
    return "-".join([stem, *text.replace("=", ",").split(",")]) if text else stem


_SMALL_BACKBONES = {
    "resnet50": "resnet14_w16",
    "resnet50_ibn_a": "resnet14_w16_ibn_a",
    "resnet3d50": "resnet3d14_w8",
}
_NARROWER = 8  # than the paper's: the other layers of a small network


RNN_START = "image.py"
"""Whose small run those of small RNN start from."""


def make_small(config: config_dict.ConfigDict) -> None:
    """Some minutes for two CPU cores on `walkers/street_small`.

    One recipe for every temporal model, from nothing; 3-D networks learn at the rate of
    the others. RNN need a trained CNN to start from, as the paper's have (`RNN_START`):
    from nothing their outputs are so alike that the triplet loss draws them to a point.
    """
    config.model.backbone = _SMALL_BACKBONES[config.model.backbone]
    for field in ("attention_dim", "rnn_dim"):
        config.model[field] = max(1, config.model[field] // _NARROWER)
    # With the published code's ReLUs every score of so small a network soon is 0 and
    # stays there: all frames weigh the same. These are the paper's plain equations.
    config.model.attention_relu = False
    config.model.frame_size = (64, 32)

    config.data.name = "walkers/street_small"
    config.data.normalization = "imagenet"
    config.data.p = 16

    is_rnn = config.model.temporal in ("lstm", "gru")
    config.train.learning_rate = 2e-3 / 3 if is_rnn else 2e-3  # P1 Sec. 4.2: a third
    config.train.epochs = 46
    config.train.decay_every_epochs = 18
    config.train.warmup_epochs = 2.0
    config.train.eval_every_epochs = 23
    config.train.checkpoint_every_epochs = 10
