"""Which tracklets make a batch and which of their frames make a clip. NumPy only."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from reid_jax.errors import UserError

Indices = np.ndarray
Count = int | np.integer


def dense_clips(num_frames: Count, clip_length: Count) -> Int[Indices, "M T"]:
    """Frame indices of the test clips: consecutive, non-overlapping, T frames each.

    The last clip is filled by repeating its own frames cyclically.
    Source: Gao & Nevatia 2018, Sec. 3.3; the filling is their published code's.
    """
    num_frames, clip_length = _checked(num_frames, clip_length)
    starts = np.arange(0, num_frames, clip_length)[:, None]
    steps = np.arange(clip_length)[None, :]
    return starts + steps % np.minimum(clip_length, num_frames - starts)


def sample_clip(
    rng: np.random.Generator,
    num_frames: int | np.integer,
    clip_length: int | np.integer,
) -> Int[Indices, "T"]:
    """Frame indices of a training clip: consecutive, every start equally likely.

    A tracklet shorter than the clip is repeated cyclically.
    Source: Gao & Nevatia 2018, Sec. 3.2.
    Differs: the published code draws starts up to `num_frames - T - 1`, so that the
    last frame of a tracklet is never seen; here the last start is `num_frames - T`.
    """
    num_frames, clip_length = _checked(num_frames, clip_length)
    start = rng.integers(max(0, num_frames - clip_length) + 1)
    return start + np.arange(clip_length) % num_frames


def restricted_clip(
    rng: np.random.Generator, num_frames: Count, clip_length: Count
) -> Int[Indices, "T"]:
    """Frame indices of a training clip: one at random from each of T equal parts.

    Part t holds the frames from t n / T up to (t + 1) n / T, rounded down; where it is
    empty, of a tracklet shorter than the clip, the frame it would begin with.
    Source: restricted random sampling, Li et al. 2018 (Diversity Regularized
    Spatiotemporal Attention), Sec. 3.1, after Wang et al. 2016.
    """
    num_frames, clip_length = _checked(num_frames, clip_length)
    ends = np.arange(clip_length + 1) * num_frames // clip_length
    return rng.integers(ends[:-1], np.maximum(ends[1:], ends[:-1] + 1))


SAMPLINGS = {"consecutive": sample_clip, "restricted": restricted_clip}
"""How the frames of a training clip are drawn: `config.data.sampling`."""


def identity_batches(
    labels: Int[Indices, "N"],
    p: int,
    k: int,
    *,
    seed: int,
    epoch: int,
    weights: Float[Indices, "N"] | None = None,
) -> Int[Indices, "batches B"]:
    """Tracklet indices of an epoch's P×K batches, a pure function of (seed, epoch).

    Every identity of `labels` occurs once, in a permuted order, with K of its
    tracklets next to each other. The last group of P is filled with the first
    identities of the next epoch's permutation that are not in it yet. An identity
    with fewer than K tracklets repeats them, each as evenly as K allows.
    With `weights`, those of the tracklets' identities, each batch draws P different
    ones of all identities, each with a probability in proportion to its weight (but 1
    at most): an epoch is then as many batches, and no longer every identity once.
    Raises UserError when there are fewer than P identities.
    Source: Gao & Nevatia 2018, Sec. 3.2, after Hermans et al. 2017.
    Differs: the published sampler drops the last incomplete group.
    """
    labels = np.asarray(labels)
    identities, first = np.unique(labels[np.argsort(labels)], return_index=True)
    if p < 1 or k < 1:
        raise UserError(f"P={p} and K={k} must both be at least 1.")
    batches_per_epoch(labels, p)  # checks P
    groups = np.split(np.argsort(labels, kind="stable"), first[1:])
    if weights is not None:
        first_of = np.array([group[0] for group in groups])
        order = _weighted(np.asarray(weights)[first_of], p, seed, epoch)
    else:
        order = _every_identity(len(identities), p, seed, epoch)
    rng = np.random.default_rng([seed, epoch, _TRACKLETS])
    chosen = [_repeat(rng.permutation(groups[i]), k) for i in order]
    return np.stack(chosen).reshape(-1, p * k)


def batches_from(
    first_step: int,
    labels: Int[Indices, "N"],
    p: int,
    k: int,
    *,
    seed: int,
    weights: Float[Indices, "N"] | None = None,
) -> Iterator[tuple[int, int, Int[Indices, "B"]]]:
    """Epoch, position in it and tracklets of each P×K batch from a step on, endless.

    Arguments and errors as `identity_batches`.
    """
    first_epoch, first_position = divmod(first_step, batches_per_epoch(labels, p))
    for epoch in itertools.count(first_epoch):
        batches = identity_batches(
            labels, p, k, seed=seed, epoch=epoch, weights=weights
        )
        for position in range(first_position, len(batches)):
            yield epoch, position, batches[position]
        first_position = 0


def batches_per_epoch(labels: Int[Indices, "N"], p: int) -> int:
    """Batches in which every identity occurs once; the last one is filled.

    Raises UserError when there are fewer than P identities.
    """
    num = len(np.unique(labels))
    if p > num:
        raise UserError(
            f"P={p} identities a batch, but the training split has only {num}: "
            f"--config.data.p={num} or less works."
        )
    return -(-num // p)


_IDENTITIES, _TRACKLETS = 0, 1
"""Keep the two random streams of an epoch apart."""


def _every_identity(num: int, p: int, seed: int, epoch: int) -> Int[Indices, "_"]:
    """Each identity once, and as many of the next epoch as fill the last group."""
    order = _permutation(seed, epoch, num)
    missing = -len(order) % p
    if missing:
        following = _permutation(seed, epoch + 1, num)
        last_group = order[len(order) + missing - p :]
        fill = following[~np.isin(following, last_group)][:missing]
        order = np.concatenate([order, fill])
    return order


def _weighted(
    weights: Float[Indices, "N"], p: int, seed: int, epoch: int
) -> Int[Indices, "_"]:
    """Groups of P identities, each in a group as often as `_inclusion` says.

    Systematic sampling: the identities in random order are intervals as long as their
    probabilities, next to each other, and points at distance 1 choose among them.
    """
    rng = np.random.default_rng([seed, epoch, _IDENTITIES])
    probability = _inclusion(weights, p)
    always = np.flatnonzero(probability == 1)
    others = np.flatnonzero(probability < 1)
    groups = []
    for _ in range(-(-len(weights) // p)):
        order = rng.permutation(others)
        ends = np.cumsum(probability[order])
        points = rng.random() + np.arange(p - len(always))
        chosen = np.searchsorted(ends[:-1], points, side="right")
        groups.append(rng.permutation(np.concatenate([always, order[chosen]])))
    return np.concatenate(groups)


def _inclusion(weights: Float[Indices, "N"], p: int) -> Float[Indices, "N"]:
    """Probability of each identity to be among P: in proportion to its weight, up to 1.

    What is above 1 goes to the others, in proportion as well.
    """
    probability = np.zeros(len(weights))
    while True:
        rest = probability < 1
        parts = weights[rest] / weights[rest].max(initial=0, where=weights[rest] > 0)
        probability[rest] = (p - np.sum(~rest)) * parts / parts.sum()
        if not np.any(probability > 1):
            return probability
        probability = np.where(probability >= 1, 1.0, probability)


def _permutation(seed: int, epoch: int, num: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, _IDENTITIES]).permutation(num)


def _repeat(items: np.ndarray, num: int) -> np.ndarray:
    return items[np.arange(num) % len(items)]


def _checked(num_frames: Count, clip_length: Count) -> tuple[int, int]:
    """Both as Python integers, which do not wrap."""
    if num_frames < 1 or clip_length < 1:
        raise UserError(
            f"num_frames={num_frames} and clip_length={clip_length} "
            "must both be at least 1."
        )
    return int(num_frames), int(clip_length)
