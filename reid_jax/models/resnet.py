"""ResNet with bottleneck blocks, over images (2-D) or over clips (3-D)."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.batch_norm import BatchNorm
from reid_jax.models.instance_norm import InstanceBatchNorm
from reid_jax.models.layers import conv, max_pool


class Bottleneck(nnx.Module):
    """1×1, 3×3 and 1×1 convolutions plus a shortcut; the 3×3 has the stride (v1.5).

    With `ibn` the first normalisation is an `InstanceBatchNorm`.
    """

    def __init__(
        self,
        in_features: int,
        width: int,
        *,
        dims: int,
        stride: int,
        ibn: bool = False,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        out_features = 4 * width
        kernel1, kernel3 = (1,) * dims, (3,) * dims
        common = {"dtype": dtype, "rngs": rngs}
        self.conv1 = conv(in_features, width, kernel1, **common)
        self.bn1 = (InstanceBatchNorm if ibn else BatchNorm)(width, dtype=dtype)
        self.conv2 = conv(width, width, kernel3, stride=stride, padding=1, **common)
        self.bn2 = BatchNorm(width, dtype=dtype)
        self.conv3 = conv(width, out_features, kernel1, **common)
        self.bn3 = BatchNorm(out_features, dtype=dtype)
        projection = []
        if stride != 1 or in_features != out_features:
            projection = [
                conv(in_features, out_features, kernel1, stride=stride, **common),
                BatchNorm(out_features, dtype=dtype),
            ]
        self.downsample = nnx.List(projection)

    def __call__(
        self, x: Float[Array, "B ..."], *, train: bool
    ) -> Float[Array, "B ..."]:
        y = nnx.relu(self.bn1(self.conv1(x), train=train))
        y = nnx.relu(self.bn2(self.conv2(y), train=train))
        y = self.bn3(self.conv3(y), train=train)
        if self.downsample:
            projection, norm = self.downsample
            x = norm(projection(x), train=train)
        return nnx.relu(x + y)


class ResNet(nnx.Module):
    """Convolutional trunk that maps images or clips to a feature map.

    `dims=2` is torchvision's ResNet: `[B, H, W, 3]` → `[B, ceil(H/32), ceil(W/32), D]`
    with D = `32 * width`. `dims=3` is the 3-D ResNet of Hara et al. 2018 with shortcut
    B, for `[B, T, H, W, 3]`: the first convolution keeps every frame, later layers
    that halve height and width halve time too.

    Args:
        dims: 2 for images, 3 for clips.
        blocks: number of blocks in each layer.
        width: channels of the first convolution.
        last_stride: stride of the last layer; with 1 the map is ceil(H/16) high.
        ibn_a: use `InstanceBatchNorm` in all layers but the last (Pan et al. 2018,
            Sec. 4: conv2_x to conv4_x; the last layer tells persons apart).
        frozen: BatchNorm uses and keeps its running statistics in training too.
        remat: compute each block again in the backward pass, to save memory.
        dtype: of the computation.
        rngs: for the initial weights.

    Source: He et al. 2016; stride on the 3×3 convolution as in torchvision (v1.5).
    """

    dropout = 0.0
    stage_names = ("conv1", "layer1", "layer2", "layer3", "layer4")

    def __init__(
        self,
        *,
        dims: int = 2,
        blocks: Sequence[int] = (3, 4, 6, 3),
        width: int = 64,
        last_stride: int = 2,
        ibn_a: bool = False,
        frozen: bool = False,
        remat: bool = False,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.dims = dims
        self.dtype = dtype
        self.frozen, self.remat = frozen, remat
        stem_stride = (1, 2, 2)[-dims:]
        self.conv1 = conv(
            3, width, (7,) * dims, stride=stem_stride, padding=3, dtype=dtype, rngs=rngs
        )
        self.bn1 = BatchNorm(width, dtype=dtype)
        features = width
        for stage, num_blocks in enumerate(blocks):
            layer = nnx.List([])
            for block in range(num_blocks):
                is_smaller = stage > 0 and block == 0
                stride = (2, last_stride)[stage == len(blocks) - 1] if is_smaller else 1
                stage_width = width * 2**stage
                layer.append(
                    Bottleneck(
                        features,
                        stage_width,
                        dims=dims,
                        stride=stride,
                        ibn=ibn_a and stage < len(blocks) - 1,
                        dtype=dtype,
                        rngs=rngs,
                    )
                )
                features = 4 * stage_width
            setattr(self, f"layer{stage + 1}", layer)
        self.num_layers = len(blocks)
        self.num_features = features

    def __call__(
        self, x: Float[Array, "B ... 3"], *, train: bool, keys=None
    ) -> Float[Array, "B ... D"]:
        """Returns the last feature map; `keys` are ignored, as there is no dropout."""
        *_, last = self.stages(x, train=train)
        return last

    def stages(self, x: Float[Array, "B ... 3"], *, train: bool):
        """Yields the feature maps after the stem's pooling and after each layer."""
        train = train and not self.frozen
        x = self.conv1(x.astype(self.dtype))
        x = nnx.relu(self.bn1(x, train=train))
        d = self.dims
        x = max_pool(x, window=(3,) * d, stride=(2,) * d, padding=(1,) * d)
        yield x

        def run(block: Bottleneck, x):
            return block(x, train=train)

        if self.remat:
            run = nnx.remat(run)
        for index in range(self.num_layers):
            for block in getattr(self, f"layer{index + 1}"):
                x = run(block, x)
            yield x
