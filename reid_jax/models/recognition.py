"""Recognises the network and the input normalisation of weights by names and shapes."""

import re
from collections.abc import Mapping

import numpy as np

from reid_jax.models import torch_weights

# Numbers of classes of 3D-ResNets-PyTorch's later checkpoints: Kinetics-700, Moments in
# Time, STAIR-Actions, and combinations of them.
_LATER_KINETICS = (700, 339, 100, 1039, 800, 439, 1139)


def recognise(weights: Mapping[str, np.ndarray]) -> tuple[str, tuple[str, ...]]:
    """Describes the network of `weights`, and names the normalizations it may expect.

    It goes by the first convolution's axes, C3D's layer names and the number of
    classes.

    Returns:
        The network in words, and names of `pixels.NORMALIZATIONS`; none if unknown.
    """
    shapes = {torch_weights.canonical_name(k): v.shape for k, v in weights.items()}
    num_classes = shapes.get("classifier.weight", (None,))[0]
    classes = f"{num_classes} classes" if num_classes else "no classifier"
    if any(re.match(r"(backbone\.)?conv1a\.conv\.", key) for key in weights):
        return f"C3D of mmaction2, {classes}", ()
    if "fc6.weight" in shapes:
        return f"C3D, {classes}", ("c3d", "c3d_cube")
    if "conv1.weight" not in shapes or "layer1.0.conv1.weight" not in shapes:
        return f"unknown network, {classes}", ()
    if len(shapes["conv1.weight"]) == 4:
        ibn = " with IBN-a" if "layer1.0.bn1.IN.weight" in shapes else ""
        return f"2-D ResNet{ibn}, {classes}", ("imagenet",)
    by_num_classes = {400: ("kinetics",)} | dict.fromkeys(
        _LATER_KINETICS, ("kinetics_std",)
    )
    return f"3-D ResNet, {classes}", by_num_classes.get(num_classes, ())
