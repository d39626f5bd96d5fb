"""From uint8 frames to the numbers a network was trained on. The one place for it."""

import jax.numpy as jnp
from jaxtyping import Float, UInt8

from reid_jax.arrays import Array

NORMALIZATIONS = {
    # RGB in [0, 1], mean and standard deviation of ImageNet (torchvision).
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def normalize(
    clips: UInt8[Array, "B T H W 3"], normalization: str, dtype=jnp.float32
) -> Float[Array, "B T H W 3"]:
    """RGB frames in 0..255 as the named convention wants them, in `dtype`."""
    if normalization not in NORMALIZATIONS:
        raise ValueError(
            f"config.data.normalization={normalization!r} is unknown; "
            f"known: {', '.join(NORMALIZATIONS)}."
        )
    mean, std = (jnp.asarray(v, jnp.float32) for v in NORMALIZATIONS[normalization])
    return ((clips.astype(jnp.float32) / 255 - mean) / std).astype(dtype)
