"""The training step and the embedding step, pure functions of pytrees under jit."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from reid_jax import losses, pixels
from reid_jax.models import build_model, torch_weights
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
    """Adam with coupled L2: the decay is added to the gradient, of every parameter.

    Source: the published code of paper 1, whose tables come from torch's Adam; AdamW
    decays differently.
    """
    return optax.chain(
        optax.add_decayed_weights(config.train.weight_decay),
        optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8),
        optax.scale_by_learning_rate(schedule),
    )


def initial_state(
    config,
    num_pids: int,
    optimizer: optax.GradientTransformation,
    *,
    init_from: str | None = None,
) -> tuple[nnx.GraphDef, TrainState]:
    """The structure of `config`'s network, and its state before the first step.

    The weights come from `config.seed`, or from the checkpoint `init_from`, where
    whatever a backbone's file cannot hold keeps its initialisation, which is printed.
    """
    model = build_model(config.model, num_pids, rngs=nnx.Rngs(config.seed))
    if init_from:
        weights = torch_weights.read_checkpoint(init_from)
        kept = torch_weights.load_torch_weights(model, weights, partial=HEADS)
        print(f"{init_from} loaded; initialised: {', '.join(kept) or 'nothing'}.")
    graphdef, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    # Plain arrays: checkpoints and optimizers need not know of flax's variables.
    params, batch_stats = nnx.as_pure(params), nnx.as_pure(batch_stats)
    state = TrainState(
        jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params)
    )
    return graphdef, state


HEADS = (
    "classifier",
    "fc",
    "attention_conv",
    "attention_fc",
    "attention_tconv",
    "lstm",
    "gru",
)
"""Modules that a backbone's checkpoint does not hold, or holds for other classes."""


def make_train_step(
    graphdef: nnx.GraphDef, optimizer: optax.GradientTransformation, config
) -> Callable:
    """The jitted step `(state, batch) -> (state, metrics)`; the state is donated.

    `batch` has `clips` (uint8 [B, T, H, W, 3]) and `labels` (int [B]). `metrics` are
    scalars of the batch before the update: `loss` and its two parts, `active_triplets`,
    `precision_at_1`. Source: paper 1, Sec. 3.2, Eq. 6.
    """
    loss_config = config.loss.to_dict()
    margin = loss_config["margin"]

    def loss_fn(params, batch_stats, batch, rng):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        clips = _normalize(batch["clips"], config)
        out = model(clips, train=True, rng=rng)
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
        loss = triplet + cross_entropy
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

    def embed_step(params, batch_stats, clips):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        return model(_normalize(clips, config), train=False)

    return jax.jit(embed_step)


def _normalize(clips, config):
    # At least float32 here: the network casts to its compute dtype itself.
    dtype = param_dtype(jnp.dtype(config.model.dtype))
    return pixels.normalize(clips, config.data.normalization, dtype)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Whether all parameters and statistics are finite, and so are their squares.

    After one step of a run that diverges they can be finite and lost all the same.
    """
    leaves = jax.tree.leaves((state.params, state.batch_stats))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf**2)) for leaf in leaves]))
