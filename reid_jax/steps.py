"""The training step and the embedding step, pure functions of pytrees under jit."""

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
            raise UserError(
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
    scalars of the batch before the update: those of `losses.total_loss`.

    With `config.train.accumulate` of n above 1 (see `check_accumulation`) the network
    sees the batch in n parts, one after the other, the losses all of it: first the
    embeddings of each part, then the losses and their gradients by the embeddings,
    then the gradients of each part's network, added up.
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

    def whole(params, batch_stats, clips, labels, keys):
        outputs, pullback, batch_stats = jax.vjp(
            lambda params: forward(params, batch_stats, clips, keys),
            params,
            has_aux=True,
        )
        by_output, metrics = jax.grad(loss_fn, has_aux=True)(outputs, labels)
        (grads,) = pullback(by_output)
        return grads, batch_stats, metrics

    def in_parts(params, batch_stats, clips, labels, keys):
        def part_of_network(params, part):
            return forward(params, batch_stats, *part)[0]

        def add(grads, part_and_cotangents):
            part, cotangents = part_and_cotangents
            _, pullback = jax.vjp(lambda params: part_of_network(params, part), params)
            return jax.tree.map(jnp.add, grads, pullback(cotangents)[0]), None

        n = config.train.accumulate
        parts = _split((clips, keys), n)
        outputs = jax.lax.map(lambda part: part_of_network(params, part), parts)
        by_output, metrics = jax.grad(loss_fn, has_aux=True)(_join(outputs), labels)
        zeros = jax.tree.map(jnp.zeros_like, params)
        grads, _ = jax.lax.scan(add, zeros, (parts, _split(by_output, n)))
        return grads, batch_stats, metrics

    gradients = whole if config.train.accumulate == 1 else in_parts

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
    """[B, ...] → [n, B/n, ...]; part i has the rows i, i + n, … of every device."""
    return jax.tree.map(
        lambda x: x.reshape(len(x) // n, n, *x.shape[1:]).swapaxes(0, 1), tree
    )


def _join(tree):
    """The inverse of `_split`."""
    return jax.tree.map(lambda x: x.swapaxes(0, 1).reshape(-1, *x.shape[2:]), tree)


def check_accumulation(config, batch_stats, num_devices: int) -> None:
    """Raise UserError when `config.train.accumulate` parts cannot equal one batch.

    BatchNorm's statistics of the whole batch cannot be had from its parts.
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
        possible = [n for n in range(1, clips + 1) if clips % (n * num_devices) == 0]
        raise UserError(
            f"config.train.accumulate={parts} does not divide P*K={clips} clips on "
            f"{num_devices} devices; possible: {possible}."
        )


def make_embed_step(graphdef: nnx.GraphDef, config) -> Callable:
    """The jitted `(params, batch_stats, clips uint8 [B, T, H, W, 3]) -> ReIDOutput`."""

    normalize = normalizer(config)

    def embed_step(params, batch_stats, clips):
        model = nnx.merge(graphdef, params, batch_stats, copy=True)
        return model(normalize(clips), train=False)

    return jax.jit(embed_step)


def normalizer(config) -> Callable:
    """The function uint8 clips → what `config.data.normalization` makes of them."""
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
