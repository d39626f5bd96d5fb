"""Normalises frames by the convention of a network's training; no other file does."""

import dataclasses
import os
import pathlib

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from reid_jax.arrays import Array
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Convention:
    """`(x / scale - mean) / std` for x in 0..255, per channel in the order `channels`.

    With `has_cube` a mean for every pixel and frame of the clip replaces `mean`.
    """

    scale: float
    mean: tuple[float, float, float]
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    channels: str = "rgb"
    has_cube: bool = False


# Means of Sports-1M in B, G, R, from the cube that was published with C3D.
_C3D_MEAN = (90.25, 97.66, 101.41)

NORMALIZATIONS = {
    # Mean and standard deviation of ImageNet: torchvision, timm, Video-Person-ReID.
    "imagenet": Convention(255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    # 3D-ResNets-PyTorch as first published (Kinetics-400): 0..255 minus the mean.
    "kinetics": Convention(1.0, (114.7748, 107.7354, 99.4750)),
    # Later code and checkpoints of 3D-ResNets-PyTorch (Kinetics-700 and more).
    "kinetics_std": Convention(
        255.0, (0.4345, 0.4051, 0.3775), (0.2768, 0.2713, 0.2737)
    ),
    # C3D: BGR, 0..255, minus the mean colour, or the cube in config.data.mean_cube.
    "c3d": Convention(1.0, _C3D_MEAN, channels="bgr"),
    "c3d_cube": Convention(1.0, _C3D_MEAN, channels="bgr", has_cube=True),
}

CUBE_SHAPE = (3, 16, 128, 171)
"""Shape of C3D's mean cube: channels (B, G, R), frames, height, width."""


def normalize(
    clips: UInt8[Array, "B T H W 3"] | Float[Array, "B T H W 3"],
    normalization: str,
    dtype=jnp.float32,
    *,
    mean_cube: Float[Array, "T H W 3"] | None = None,
) -> Float[Array, "B T H W 3"]:
    """Normalises RGB frames in 0..255 by a named convention.

    Args:
        clips: frames to normalise.
        normalization: one of `NORMALIZATIONS`.
        dtype: of the result; the computation is in at least float32.
        mean_cube: from `read_mean_cube`, if the convention has a cube.

    Raises:
        UserError: the name is unknown, or a cube is missing or not needed.
    """
    if normalization not in NORMALIZATIONS:
        raise UserError(
            f"config.data.normalization={normalization!r} is unknown; "
            f"known: {', '.join(NORMALIZATIONS)}."
        )
    convention = NORMALIZATIONS[normalization]
    if convention.has_cube != (mean_cube is not None):
        raise UserError(
            f"config.data.normalization={normalization!r} "
            + ("needs a" if convention.has_cube else "has no")
            + " mean cube (config.data.mean_cube)."
        )
    computed = jnp.promote_types(dtype, jnp.float32)
    x = clips.astype(computed) / convention.scale
    if convention.channels == "bgr":
        x = x[..., ::-1]
    mean = convention.mean if mean_cube is None else mean_cube
    mean, std = jnp.asarray(mean, computed), jnp.asarray(convention.std, computed)
    return ((x - mean) / std).astype(dtype)


def mean_color(normalization: str) -> tuple[int, int, int]:
    """RGB colour in 0..255 that the named convention maps to nearly zero."""
    convention = NORMALIZATIONS[normalization]
    mean = convention.mean[:: -1 if convention.channels == "bgr" else 1]
    red, green, blue = (round(value * convention.scale) for value in mean)
    return red, green, blue


def read_mean_cube(
    path: str | os.PathLike, clip_size: tuple[int, int, int]
) -> Float[np.ndarray, "T H W 3"]:
    """Reads C3D's mean cube and crops its middle to `clip_size` (T, H, W).

    The file is the original `.binaryproto`, or a `.npy` of shape [3, 16, 128, 171];
    additional axes of length 1 in front are ignored. Channels stay B, G, R.
    Differs: Caffe crops the cube where it cropped a training clip; here it is always
    the middle, as in evaluation.

    Raises:
        UserError: the file is missing or no such cube, or clips are longer or larger
            than the cube.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"No mean cube {path} (config.data.mean_cube).")
    try:
        if path.suffix.lower() == ".npy":
            cube = np.load(path, allow_pickle=False)
        else:
            cube = _blob(path.read_bytes())
            cube = (
                cube.reshape(CUBE_SHAPE) if cube.size == np.prod(CUBE_SHAPE) else cube
            )
    except (ValueError, EOFError, IndexError) as error:
        raise UserError(f"{path} is no mean cube: {error}.") from None
    if cube.dtype.kind not in "fiu" or not np.isfinite(cube).all():
        raise UserError(f"{path} is no mean cube: it holds more than finite numbers.")
    while cube.ndim > 4 and cube.shape[0] == 1:
        cube = cube[0]
    if cube.shape != CUBE_SHAPE:
        raise UserError(f"{path} has shape {cube.shape}; C3D's cube is {CUBE_SHAPE}.")
    T, H, W = clip_size
    _, frames, height, width = CUBE_SHAPE
    if frames < T or height < H or width < W:
        raise UserError(
            f"C3D's mean cube has {frames} frames of {height}×{width}; "
            f"config.model asks for {T} of {H}×{W}."
        )
    top, left = (height - H) // 2, (width - W) // 2
    cropped = cube[:, :T, top : top + H, left : left + W]
    return np.ascontiguousarray(np.moveaxis(cropped, 0, -1), np.float32)


def _blob(message: bytes) -> np.ndarray:
    """Reads the values of a Caffe BlobProto: its field 5, packed floats."""
    position = 0

    def varint() -> int:
        nonlocal position
        value, shift = 0, 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        field, wire_type = divmod(varint(), 8)
        if wire_type == 0:
            varint()
        elif wire_type == 2:
            length = varint()
            if field == 5:
                return np.frombuffer(message[position : position + length], "<f4")
            position += length
        else:
            break
    raise UserError("no BlobProto")
