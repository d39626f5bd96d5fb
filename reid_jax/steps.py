"""The training step and the embedding step, pure functions of pytrees under jit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from reid_jax import losses, pixels
from reid_jax.models.layers import param_dtype


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a step changes, and so everything that a checkpoint holds."""

    step: Any  # int32 scalar
    params: Any
    batch_stats: Any
    opt_state: Any


def learning_rate_schedule(config, steps_per_epoch: int) -> optax.Schedule:
    """`config.train`'s epochs as a function of the step: ×factor every so many epochs.

    Source: the published code of paper 1 (StepLR 200, 0.1).
    """
    t = config.train
    decay = optax.exponential_decay(
        t.learning_rate,
        transition_steps=max(1, round(t.decay_every_epochs * steps_per_epoch)),
        decay_rate=t.decay_factor,
        staircase=True,
    )
    warmup_steps = round(t.warmup_epochs * steps_per_epoch)
    if not warmup_steps:
        return decay
    return lambda step: decay(step) * jnp.minimum(1.0, (step + 1) / warmup_steps)


def build_optimizer(config, schedule: optax.Schedule) -> optax.GradientTransformation:
    """`config.train.optimizer`, with coupled L2: the decay is added to the gradient.

    "adam" is torch's (paper 1, whose tables come from it; AdamW decays differently),
    "sgd" has `momentum` m: v ← m v + g, w ← w - lr v, as Caffe's (paper 2) and torch's.
    """
    t = config.train
    match t.optimizer:
        case "adam":
            scale = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
        case "sgd":
            scale = optax.trace(decay=t.momentum)
        case _:
            known = ", ".join(OPTIMIZERS)
            raise ValueError(
                f"config.train.optimizer={t.optimizer!r} is unknown; known: {known}."
            )
    return optax.chain(
        optax.add_decayed_weights(t.weight_decay),
        scale,
        optax.scale_by_learning_rate(schedule),
    )


OPTIMIZERS = ("adam", "sgd")


def initial_state(
    model: nnx.Module, optimizer: optax.GradientTransformation
) -> tuple[nnx.GraphDef, TrainState]:
    """The structure of a network, and its state before the first step."""
    graphdef, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    # Plain arrays: checkpoints and optimizers need not know of flax's variables.
    params, batch_stats = nnx.as_pure(params), nnx.as_pure(batch_stats)
    state = TrainState(
        jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params)
    )
    return graphdef, state


def make_train_step(
    graphdef: nnx.GraphDef, optimizer: optax.GradientTransformation, config
) -> Callable:
    """The jitted step `(state, batch) -> (state, metrics)`; the state is donated.

    `batch` has `clips` (uint8 [B, T, H, W, 3]) and `labels` (int [B]). `metrics` are
    scalars of the batch before the update: `loss` and its two parts, `active_triplets`,
    `precision_at_1`. Source: paper 1, Sec. 3.2, Eq. 6; with `triplet_weight` 0 paper 2,
    Sec. II-D, Eq. 2.
    """
    loss_config = config.loss.to_dict()
    margin = loss_config["margin"]
    normalize = _normalizer(config)

    def loss_fn(params, batch_stats, batch, rng):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        out = model(normalize(batch["clips"]), train=True, rng=rng)
        triplet = losses.batch_hard_triplet(
            out.embedding,
            batch["labels"],
            margin,
            reduction=loss_config["triplet_reduction"],
        )
        cross_entropy = losses.softmax_cross_entropy(
            out.logits,
            batch["labels"],
            label_smoothing=loss_config["label_smoothing"],
        )
        loss = (
            loss_config["triplet_weight"] * triplet
            + loss_config["cross_entropy_weight"] * cross_entropy
        )
        metrics = {"loss": loss, "triplet": triplet, "cross_entropy": cross_entropy}
        metrics |= losses.batch_health(out.embedding, batch["labels"], margin)
        return loss, (nnx.as_pure(nnx.state(model, nnx.BatchStat)), metrics)

    def train_step(state: TrainState, batch) -> tuple[TrainState, dict]:
        rng = jax.random.fold_in(jax.random.key(config.seed), state.step)
        grads, (batch_stats, metrics) = jax.grad(loss_fn, has_aux=True)(
            state.params, state.batch_stats, batch, rng
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return jax.jit(train_step, donate_argnums=0)


def make_embed_step(graphdef: nnx.GraphDef, config) -> Callable:
    """The jitted `(params, batch_stats, clips uint8 [B, T, H, W, 3]) -> ReIDOutput`."""

    normalize = _normalizer(config)

    def embed_step(params, batch_stats, clips):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        return model(normalize(clips), train=False)

    return jax.jit(embed_step)


def _normalizer(config) -> Callable:
    """uint8 clips → what `config.data.normalization` makes of them."""
    # At least float32 here: the network casts to its compute dtype itself.
    dtype = param_dtype(jnp.dtype(config.model.dtype))
    name, cube = config.data.normalization, None
    if pixels.NORMALIZATIONS[name].has_cube:
        clip_size = (config.model.clip_length, *config.model.frame_size)
        cube = pixels.read_mean_cube(config.data.mean_cube, clip_size)
    return lambda clips: pixels.normalize(clips, name, dtype, mean_cube=cube)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Whether all parameters and statistics are finite, and so are their squares.

    After one step of a run that diverges they can be finite and lost all the same.
    """
    leaves = jax.tree.leaves((state.params, state.batch_stats))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf**2)) for leaf in leaves]))
