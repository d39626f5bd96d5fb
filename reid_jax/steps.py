"""The jitted training and embedding steps, and the optimizer."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from reid_jax import losses
from reid_jax.errors import UserError
from reid_jax.input import pixels
from reid_jax.models.layers import param_dtype


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """Everything that a training step changes; a checkpoint holds exactly this."""

    step: Any  # int32 scalar
    params: Any
    batch_stats: Any
    opt_state: Any


def learning_rate_schedule(config, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate by step (from 0), after an optional linear warm-up.

    It is multiplied by `config.train.decay_factor` every
    `config.train.decay_every_epochs`.

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
    """The optimizer of `config.train`, with the L2 penalty added to the gradient.

    - "adam": as in torch; paper 1's tables were made with it. AdamW decays
      differently.
    - "sgd": momentum m, v ← m v + g, w ← w - lr v, as in Caffe (paper 2) and torch.

    Raises:
        UserError: `config.train.optimizer` is unknown.
    """
    t = config.train
    match t.optimizer:
        case "adam":
            scale = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
        case "sgd":
            scale = optax.trace(decay=t.momentum)
        case _:
            names = ", ".join(OPTIMIZERS)
            raise UserError(
                f"config.train.optimizer={t.optimizer!r} is unknown; known: {names}."
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
    """Splits a network into its structure and its state before the first step."""
    graphdef, params, batch_stats = nnx.split(model, nnx.Param, nnx.BatchStat)
    # Plain arrays: checkpoints and optimizers do not depend on flax's variables.
    params, batch_stats = nnx.as_pure(params), nnx.as_pure(batch_stats)
    state = TrainState(
        jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params)
    )
    return graphdef, state


def make_train_step(
    graphdef: nnx.GraphDef, optimizer: optax.GradientTransformation, config
) -> Callable:
    """Returns the jitted step `(state, batch) -> (state, metrics)`; donates the state.

    `batch` has `clips` (uint8 [B, T, H, W, 3]) and `labels` (int [B]). `metrics` are
    the scalars of `losses.total_loss` on this batch, before the update.

    With `config.train.accumulate` = n above 1 (see `check_accumulation`) the network
    computes the batch in n parts, one after the other, but the losses see all of it:
    1. the embeddings of every part;
    2. the losses of the whole batch, and their gradients with respect to the
       embeddings;
    3. the gradients of the parameters, part by part, added up.
    """
    loss_config = config.loss.to_dict()
    normalize = normalizer(config)

    def forward(params, batch_stats, clips, keys):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        out = model(normalize(clips), train=True, rng=keys)
        batch_stats = nnx.as_pure(nnx.state(model, nnx.BatchStat))
        return (out.embedding, out.logits, out.to_centers), batch_stats

    def loss_fn(outputs, labels):
        embeddings, logits, to_centers = outputs
        return losses.total_loss(
            embeddings, logits, labels, to_centers=to_centers, **loss_config
        )

    def gradients_of_batch(params, batch_stats, clips, labels, keys):
        outputs, pullback, batch_stats = jax.vjp(
            lambda params: forward(params, batch_stats, clips, keys),
            params,
            has_aux=True,
        )
        output_grads, metrics = jax.grad(loss_fn, has_aux=True)(outputs, labels)
        (grads,) = pullback(output_grads)
        return grads, batch_stats, metrics

    def gradients_in_parts(params, batch_stats, clips, labels, keys):
        def forward_part(params, part):
            return forward(params, batch_stats, *part)[0]

        def add(grads, part_and_cotangents):
            part, cotangents = part_and_cotangents
            _, pullback = jax.vjp(lambda params: forward_part(params, part), params)
            return jax.tree.map(jnp.add, grads, pullback(cotangents)[0]), None

        n = config.train.accumulate
        parts = _split((clips, keys), n)
        outputs = jax.lax.map(lambda part: forward_part(params, part), parts)
        output_grads, metrics = jax.grad(loss_fn, has_aux=True)(_join(outputs), labels)
        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, _ = jax.lax.scan(add, zeros, (parts, _split(output_grads, n)))
        return grads, batch_stats, metrics

    gradients = (
        gradients_of_batch if config.train.accumulate == 1 else gradients_in_parts
    )

    def train_step(state: TrainState, batch) -> tuple[TrainState, dict]:
        rng = jax.random.fold_in(jax.random.key(config.seed), state.step)
        clips, labels = batch["clips"], batch["labels"]
        keys = jax.random.split(rng, len(clips))
        grads, batch_stats, metrics = gradients(
            state.params, state.batch_stats, clips, labels, keys
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(state.step + 1, params, batch_stats, opt_state), metrics

    return jax.jit(train_step, donate_argnums=0)


def _split(tree, n: int):
    """Reshapes [B, ...] to [n, B/n, ...]; part i has each device's rows i, i + n, …"""
    return jax.tree.map(
        lambda x: x.reshape(len(x) // n, n, *x.shape[1:]).swapaxes(0, 1), tree
    )


def _join(tree):
    """Inverts `_split`: [n, B/n, ...] to [B, ...]."""
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), tree)


def check_accumulation(config, batch_stats, num_devices: int) -> None:
    """Checks that a batch can be computed in `config.train.accumulate` parts.

    BatchNorm's batch statistics need the whole batch at once.

    Raises:
        UserError: the network uses batch statistics, or the batch cannot be divided.
    """
    parts, clips = config.train.accumulate, config.data.p * config.data.k
    if parts == 1:
        return
    if jax.tree.leaves(batch_stats) and config.model.batch_norm != "frozen":
        raise UserError(
            f"config.train.accumulate={parts} cannot have BatchNorm over the whole "
            "batch. For less memory and the same step set config.model.remat=True; or "
            "take config.model.batch_norm='frozen', with weights (config.init_from)."
        )
    if clips % (parts * num_devices):
        divisors = [n for n in range(1, clips + 1) if clips % (n * num_devices) == 0]
        raise UserError(
            f"config.train.accumulate={parts} does not divide P*K={clips} clips on "
            f"{num_devices} devices; possible: {divisors}."
        )


def make_embed_step(graphdef: nnx.GraphDef, config) -> Callable:
    """Returns the jitted function `(params, batch_stats, clips) -> ReIDOutput`.

    Clips are uint8 [B, T, H, W, 3].
    """
    normalize = normalizer(config)

    def embed_step(params, batch_stats, clips):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        return model(normalize(clips), train=False)

    return jax.jit(embed_step)


def normalizer(config) -> Callable:
    """Returns the function that maps uint8 clips to normalised float clips.

    The convention is `config.data.normalization`.
    """
    # At least float32: the network casts to its compute dtype.
    dtype = param_dtype(jnp.dtype(config.model.dtype))
    name, cube = config.data.normalization, None
    if pixels.NORMALIZATIONS[name].has_cube:
        clip_size = (config.model.clip_length, *config.model.frame_size)
        cube = pixels.read_mean_cube(config.data.mean_cube, clip_size)
    return lambda clips: pixels.normalize(clips, name, dtype, mean_cube=cube)


@jax.jit
def is_finite(state: TrainState) -> jax.Array:
    """Whether all parameters and statistics, and their squares, are finite.

    When a run diverges, parameters may still be finite but too large to compute with;
    the squares show that.
    """
    leaves = jax.tree.leaves((state.params, state.batch_stats))
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf**2)) for leaf in leaves]))
