"""The whole network, from clips to embeddings and identity logits (paper 1, Sec. 3)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from reid_jax import angular_losses
from reid_jax.arrays import Array
from reid_jax.models import layers
from reid_jax.models.batch_norm import BatchNorm
from reid_jax.models.c3d import C3D
from reid_jax.models.layers import dropout, linear, param_dtype
from reid_jax.models.resnet import ResNet


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ReIDOutput:
    """Output of a network for a batch of clips, in at least float32.

    - `embedding` [B, D]: compared by the triplet loss and the retrieval.
    - `logits` [B, N]: scores of the training identities.
    - `attention` [B, T]: weight of each frame, summing to 1; None without attention.
    - `frames` [B, T, D]: per-frame features; None for 3-D networks.
    - `to_centers` [B, N]: squared L2 distances to the centres of the training
      identities; None without centres, and in evaluation.
    """

    embedding: Float[Array, "B D"]
    logits: Float[Array, "B N"]
    attention: Float[Array, "B T"] | None = None
    frames: Float[Array, "B T D2"] | None = None
    to_centers: Float[Array, "B N"] | None = None


class _Centers(nnx.Module):
    """A centre for each training identity, drawn from N(0, 1) (Wen et al. 2016)."""

    def __init__(self, num_pids: int, num_features: int, *, dtype, rngs):
        shape = num_pids, num_features
        self.weight = nnx.Param(jax.random.normal(rngs.params(), shape, dtype))

    def __call__(self, embedding: Float[Array, "B D"]) -> Float[Array, "B N"]:
        """Squared L2 distance of each embedding to each centre."""
        # Direct differences: |x|² + |c|² - 2 x·c would cancel where the loss is small.
        centers = self.weight[...]
        return jax.vmap(lambda x: jnp.sum((x - centers) ** 2, axis=1))(embedding)


class _Identifier(nnx.Module):
    """Shared head of both networks: optional BNNeck, then a classifier.

    The BNNeck is a BatchNorm whose bias stays 0. Its input is the embedding of the
    triplet loss in training; its output is the embedding of the retrieval and the input
    of the classifier, which then has no bias (Luo et al. 2019, Bag of Tricks,
    Sec. III-E).

    A "cosine" classifier has no bias either; its logits are cosines. With `centers`
    there is a centre for each person, for the center loss.
    """

    def __init__(
        self,
        base,
        num_features,
        num_pids: int,
        *,
        neck: bool = False,
        classifier: str = "linear",
        centers: bool = False,
        dtype,
        rngs,
    ):
        self.base = base
        # The logits feed the loss, so they are computed in the dtype of the losses.
        dtype = param_dtype(dtype)
        self.neck, kernel_init = neck, None
        self.is_cosine = classifier == "cosine"
        if neck:
            self.bottleneck = BatchNorm(num_features, dtype=dtype, trains_bias=False)
            kernel_init = layers.normal(0.001)
        self.classifier = linear(
            num_features,
            num_pids,
            use_bias=not neck and not self.is_cosine,
            kernel_init=kernel_init,
            dtype=dtype,
            rngs=rngs,
        )
        self.has_centers = centers
        if centers:
            self.centers = _Centers(num_pids, num_features, dtype=dtype, rngs=rngs)

    def identify(self, embedding, train: bool, drop=lambda x: x):
        """Computes embedding, logits and distances to centres, for a `ReIDOutput`.

        `drop` is the dropout before the classifier.
        """
        after_neck = embedding
        if self.neck:
            after_neck = self.bottleneck(
                embedding, train=train and not self.base.frozen
            )
        logits = self._classify(drop(after_neck))
        fields = {"embedding": embedding if train else after_neck, "logits": logits}
        if self.has_centers and train:
            fields["to_centers"] = self.centers(embedding)
        return fields

    def _classify(self, x):
        if not self.is_cosine:
            return self.classifier(x)
        weights = angular_losses.unit(self.classifier.kernel[...].T)
        return jnp.clip(angular_losses.unit(x) @ weights.T, -1, 1)


class VideoReID(_Identifier):
    """A 2-D trunk on every frame, a temporal model and the shared head."""

    def __init__(
        self,
        base: ResNet,
        temporal: nnx.Module,
        num_pids: int,
        **head_options,
    ):
        super().__init__(base, temporal.num_features, num_pids, **head_options)
        self.temporal = temporal

    def __call__(
        self, clips: Float[Array, "B T H W 3"], train: bool = False, rng=None
    ) -> ReIDOutput:
        B, T, H, W, _ = clips.shape
        # Frames go into the batch, so that BatchNorm sees all of them at once.
        maps = self.base(clips.reshape(B * T, H, W, 3), train=train)
        maps = maps.reshape(B, T, *maps.shape[1:])
        frames = maps.mean(axis=(2, 3), dtype=param_dtype(maps.dtype))
        embedding, attention = self.temporal(frames, maps)
        fields = self.identify(embedding, train)
        return ReIDOutput(**fields, attention=attention, frames=frames)


class VideoReID3D(_Identifier):
    """A 3-D trunk on the whole clip, and the shared head.

    The embedding is the mean of the trunk's output over its remaining time and space.
    When called, `rng` is one random key for the batch, or a key for each clip [B].

    Source: Gao & Nevatia 2018, Sec. 3.1 "3D CNN", after Hara et al. 2018; C3D's fc7 of
    Kansal & Subramanyam 2018, Sec. II-C, with its dropout before the classifier.
    """

    def __init__(self, base: ResNet | C3D, num_pids: int, **head_options):
        super().__init__(base, base.num_features, num_pids, **head_options)

    def __call__(
        self, clips: Float[Array, "B T H W 3"], train: bool = False, rng=None
    ) -> ReIDOutput:
        trunk_keys = classifier_keys = None
        if rng is not None:
            if not jnp.issubdtype(rng.dtype, jax.dtypes.prng_key):  # from PRNGKey
                rng = jax.random.wrap_key_data(rng)
            keys = rng if rng.ndim else jax.random.split(rng, len(clips))
            trunk_keys, classifier_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        maps = self.base(clips, train=train, keys=trunk_keys)
        time_and_space = tuple(range(1, maps.ndim - 1))
        embedding = maps.mean(axis=time_and_space, dtype=param_dtype(maps.dtype))

        def drop(x):
            has_dropout = train and self.base.dropout
            return dropout(x, self.base.dropout, classifier_keys) if has_dropout else x

        return ReIDOutput(**self.identify(embedding, train, drop))
