"""The whole network: clips in, embeddings and identity logits out (paper 1, Sec. 3)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.c3d import C3D
from reid_jax.models.layers import dropout, linear, param_dtype
from reid_jax.models.resnet import ResNet


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReIDOutput:
    """What the network says of a batch of clips, in at least float32.

    - `embedding` [B, D]: what the triplet loss and the retrieval compare.
    - `logits` [B, N]: scores of the training identities.
    - `attention` [B, T]: weight of each frame, summing to one; None without attention.
    - `frames` [B, T, D]: per-frame features; None for 3-D networks.
    """

    embedding: Float[Array, "B D"]
    logits: Float[Array, "B N"]
    attention: Float[Array, "B T"] | None = None
    frames: Float[Array, "B T D2"] | None = None


class VideoReID(nnx.Module):
    """A 2-D trunk run on every frame, a temporal model, a linear classifier."""

    def __init__(
        self, base: ResNet, temporal: nnx.Module, num_pids: int, *, dtype, rngs
    ):
        self.base = base
        self.temporal = temporal
        self.classifier = _classifier(temporal.num_features, num_pids, dtype, rngs)

    def __call__(
        self, clips: Float[Array, "B T H W 3"], train: bool = False, rng=None
    ) -> ReIDOutput:
        B, T, H, W, _ = clips.shape
        # Frames go into the batch, so that BatchNorm sees all of them at once.
        maps = self.base(clips.reshape(B * T, H, W, 3), train=train)
        maps = maps.reshape(B, T, *maps.shape[1:])
        frames = maps.mean(axis=(2, 3), dtype=param_dtype(maps.dtype))
        embedding, attention = self.temporal(frames, maps)
        return ReIDOutput(embedding, self.classifier(embedding), attention, frames)


class VideoReID3D(nnx.Module):
    """A 3-D trunk run on the whole clip, and a linear classifier.

    The embedding is what the trunk gives, pooled over the time and space it leaves.
    Source: Gao & Nevatia 2018, Sec. 3.1 "3D CNN", after Hara et al. 2018; C3D's fc7 of
    Kansal & Subramanyam 2018, Sec. II-C, whose dropout stands before the classifier.
    `rng` is a key for the batch, or an array of one for each clip [B].
    """

    def __init__(self, base: ResNet | C3D, num_pids: int, *, dtype, rngs):
        self.base = base
        self.classifier = _classifier(base.num_features, num_pids, dtype, rngs)

    def __call__(
        self, clips: Float[Array, "B T H W 3"], train: bool = False, rng=None
    ) -> ReIDOutput:
        inside = before = None
        if rng is not None:
            if not jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):  # PRNGKey's
                rng = jax.random.wrap_key_data(rng)
            keys = rng if rng.ndim else jax.random.split(rng, len(clips))
            inside, before = jax.vmap(jax.random.split, out_axes=1)(keys)
        maps = self.base(clips, train=train, keys=inside)
        left = tuple(range(1, maps.ndim - 1))
        embedding = maps.mean(axis=left, dtype=param_dtype(maps.dtype))
        classified = embedding
        if train and self.base.dropout:
            classified = dropout(embedding, self.base.dropout, before)
        return ReIDOutput(embedding, self.classifier(classified))


def _classifier(in_features: int, num_pids: int, dtype, rngs) -> nnx.Linear:
    # The logits feed the loss, so they are computed in the dtype of the losses.
    return linear(in_features, num_pids, dtype=param_dtype(dtype), rngs=rngs)
