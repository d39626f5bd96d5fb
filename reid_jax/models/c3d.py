"""C3D: eight 3×3×3 convolutions, five poolings, two linear layers (paper 2, II-B)."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.errors import UserError
from reid_jax.models.layers import (
    conv,
    dropout,
    he_normal,
    linear,
    max_pool,
    param_dtype,
)

# Layers between two poolings, and their channels as multiples of `width`.
_STAGES = (
    (("conv1", 1),),
    (("conv2", 2),),
    (("conv3a", 4), ("conv3b", 4)),
    (("conv4a", 8), ("conv4b", 8)),
    (("conv5a", 8), ("conv5b", 8)),
)
_POOLS = (  # (window = stride, padding); time, height, width
    ((1, 2, 2), (0, 0, 0)),
    ((2, 2, 2), (0, 0, 0)),
    ((2, 2, 2), (0, 0, 0)),
    ((2, 2, 2), (0, 0, 0)),
    ((2, 2, 2), (0, 1, 1)),
)


class C3D(nnx.Module):
    """Maps clips [B, T, H, W, 3] to fc7 after its ReLU, [B, D] with D = `fc_dim`.

    Source: Tran et al. 2015; layers are named as in its ports to PyTorch.
    Differs: weights start as in He et al. 2015, and biases at 0. Caffe's fillers
    (Gaussians of 0.01 and 0.005) do not train without the pretrained weights that the
    paper starts from.

    Args:
        clip_size: (T, H, W) of all clips, which fixes the shape of fc6. The original
            has 16 frames of 112×112.
        width: channels of conv1.
        fc_dim: width of fc6 and fc7.
        remat: whether the gradient recomputes the activations between two poolings.
        dtype: of the computation.
        rngs: random streams of the initial weights.
    """

    stage_names = ("conv1", "conv2", "conv3", "conv4", "conv5")

    dims = 3
    frozen = False  # there is no BatchNorm
    dropout = 0.5  # after fc6 and fc7; paper 2, Sec. II-A

    def __init__(
        self,
        clip_size: tuple[int, int, int],
        *,
        width: int = 64,
        fc_dim: int = 4096,
        remat: bool = False,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.clip_size, self.dtype = tuple(clip_size), dtype
        self.remat = remat
        init = {"kernel_init": he_normal, "dtype": dtype}
        init |= {"bias_init": nnx.initializers.zeros, "rngs": rngs}
        features = 3
        for name, factor in (layer for stage in _STAGES for layer in stage):
            layer = conv(
                features, factor * width, (3, 3, 3), padding=1, use_bias=True, **init
            )
            setattr(self, name, layer)
            features = factor * width
        t, h, w = pooled_size(clip_size)
        self.fc6 = linear(features * t * h * w, fc_dim, **init)
        self.fc7 = linear(fc_dim, fc_dim, **init)
        self.num_features = fc_dim

    def __call__(
        self, clips: Float[Array, "B T H W 3"], *, train: bool, keys=None
    ) -> Float[Array, "B D"]:
        """Computes fc7; `keys` [B] draw the dropout after fc6 in training."""
        if clips.shape[1:4] != self.clip_size:
            raise UserError(
                f"C3D was built for clips of {self.clip_size} (frames, height, width), "
                f"not {clips.shape[1:4]}; set config.model.clip_length and frame_size."
            )
        *_, x = self.stages(clips)
        # The original flattens in the order C, T, H, W for fc6.
        x = jnp.moveaxis(x, -1, 1).reshape(x.shape[0], -1)
        x = nnx.relu(self.fc6(x))
        if train:
            x = dropout(x, self.dropout, keys)
        return nnx.relu(self.fc7(x)).astype(param_dtype(self.dtype))

    def stages(self, clips: Float[Array, "B T H W 3"], *, train: bool = False):
        """Yields the activations after each pooling; `train` has no effect."""
        x = clips.astype(self.dtype)
        run = nnx.remat(_run_stage, static_argnums=(2, 3)) if self.remat else _run_stage
        for layers, pool in zip(_STAGES, _POOLS, strict=True):
            x = run([getattr(self, name) for name, _ in layers], x, *pool)
            yield x


def _run_stage(convs: list[nnx.Conv], x, window, padding):
    for conv_ in convs:
        x = nnx.relu(conv_(x))
    return max_pool(x, window=window, stride=window, padding=padding)


def pooled_size(clip_size: tuple[int, int, int]) -> tuple[int, int, int]:
    """Returns (T, H, W) after the five poolings; 0 where the clip is too small."""
    size = tuple(clip_size)
    for window, padding in _POOLS:
        size = tuple(
            (n + 2 * p) // k if n else 0  # a window of padding only is empty
            for n, k, p in zip(size, window, padding, strict=True)
        )
    return size
