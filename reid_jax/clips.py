"""Samples the tracklets of a batch and the frames of a clip. NumPy only."""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from reid_jax.errors import UserError

Indices = np.ndarray
Count = int | np.integer


def dense_clips(num_frames: Count, clip_length: Count) -> Int[Indices, "M T"]:
    """Frame indices of a tracklet's M test clips: consecutive, without overlap.

    A last clip with fewer than T frames repeats its own frames cyclically.

    Source: Gao & Nevatia 2018, Sec. 3.3; the filling is as in their published code.
    """
    num_frames, clip_length = _checked_counts(num_frames, clip_length)
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
    num_frames, clip_length = _checked_counts(num_frames, clip_length)
    start = rng.integers(max(0, num_frames - clip_length) + 1)
    return start + np.arange(clip_length) % num_frames


def restricted_clip(
    rng: np.random.Generator, num_frames: Count, clip_length: Count
) -> Int[Indices, "T"]:
    """Frame indices of a training clip: one at random from each of T equal parts.

    Part t of n frames holds those from t n / T up to (t + 1) n / T, rounded down. A
    part can be empty when the tracklet is shorter than the clip: then the frame at its
    beginning is taken.

    Source: restricted random sampling, Li et al. 2018 (Diversity Regularized
    Spatiotemporal Attention), Sec. 3.1, after Wang et al. 2016.
    """
    num_frames, clip_length = _checked_counts(num_frames, clip_length)
    ends = np.arange(clip_length + 1) * num_frames // clip_length
    return rng.integers(ends[:-1], np.maximum(ends[1:], ends[:-1] + 1))


SAMPLINGS = {"consecutive": sample_clip, "restricted": restricted_clip}
"""Functions that draw the frames of a training clip: `config.data.sampling`."""


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

    Every identity occurs once per epoch, in a permuted order, with K of its tracklets
    next to each other. The last group of P is filled with the first identities of the
    next epoch's permutation that are not in it yet. An identity with fewer than K
    tracklets repeats them as evenly as K allows.

    With `weights`, each batch instead draws P different identities out of all, each
    with a probability in proportion to its weight, but at most 1. The number of batches
    stays the same, but an identity may occur several times in an epoch, or not at all.

    Args:
        labels: identity of each tracklet.
        p: identities per batch, P.
        k: tracklets per identity, K.
        seed: of the run.
        epoch: number of the epoch, from 0.
        weights: weight of each tracklet's identity; None: every identity once.

    Raises:
        UserError: there are fewer than P identities.

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
        first_tracklet = np.array([group[0] for group in groups])
        order = _draw_weighted(np.asarray(weights)[first_tracklet], p, seed, epoch)
    else:
        order = _permuted_identities(len(identities), p, seed, epoch)
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
    """Yields the P×K batches of one epoch after the other, from `first_step` on.

    Arguments and errors are those of `identity_batches`.

    Yields:
        Epoch, position of the batch in the epoch, and its tracklet indices.
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
    """Number of batches in an epoch, in which every identity occurs once.

    Raises:
        UserError: there are fewer than P identities.
    """
    num = len(np.unique(labels))
    if p > num:
        raise UserError(
            f"P={p} identities a batch, but the training split has only {num}: "
            f"--config.data.p={num} or less works."
        )
    return -(-num // p)


_IDENTITIES, _TRACKLETS = 0, 1
"""Numbers that keep the two random streams of an epoch apart."""


def _permuted_identities(num: int, p: int, seed: int, epoch: int) -> Int[Indices, "_"]:
    """Each identity once, then identities of the next epoch to fill the last group."""
    order = _permutation(seed, epoch, num)
    missing = -len(order) % p
    if missing:
        following = _permutation(seed, epoch + 1, num)
        last_group = order[len(order) + missing - p :]
        fill = following[~np.isin(following, last_group)][:missing]
        order = np.concatenate([order, fill])
    return order


def _draw_weighted(
    weights: Float[Indices, "N"], p: int, seed: int, epoch: int
) -> Int[Indices, "_"]:
    """Draws groups of P identities, with the probabilities of `_inclusion`.

    Systematic sampling: identities in random order are laid out as intervals, each as
    long as its probability; points at distance 1 select the intervals that they hit.
    """
    rng = np.random.default_rng([seed, epoch, _IDENTITIES])
    probability = _inclusion(weights, p)
    certain = np.flatnonzero(probability == 1)
    uncertain = np.flatnonzero(probability < 1)
    groups = []
    for _ in range(-(-len(weights) // p)):
        order = rng.permutation(uncertain)
        ends = np.cumsum(probability[order])
        points = rng.random() + np.arange(p - len(certain))
        chosen = np.searchsorted(ends[:-1], points, side="right")
        groups.append(rng.permutation(np.concatenate([certain, order[chosen]])))
    return np.concatenate(groups)


def _inclusion(weights: Float[Indices, "N"], p: int) -> Float[Indices, "N"]:
    """Probability of each identity to be in a group of P; they sum to P.

    They are in proportion to the weights, but at most 1. The excess above 1 is
    distributed over the other identities in proportion to their weights.
    """
    probability = np.zeros(len(weights))
    while True:
        is_uncapped = probability < 1
        shares = weights[is_uncapped] / weights[is_uncapped].max(
            initial=0, where=weights[is_uncapped] > 0
        )
        probability[is_uncapped] = (p - np.sum(~is_uncapped)) * shares / shares.sum()
        if not np.any(probability > 1):
            return probability
        probability = np.where(probability >= 1, 1.0, probability)


def _permutation(seed: int, epoch: int, num: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch, _IDENTITIES]).permutation(num)


def _repeat(items: np.ndarray, num: int) -> np.ndarray:
    return items[np.arange(num) % len(items)]


def _checked_counts(num_frames: Count, clip_length: Count) -> tuple[int, int]:
    """Converts both to Python integers, which cannot overflow; UserError below 1."""
    if num_frames < 1 or clip_length < 1:
        raise UserError(
            f"num_frames={num_frames} and clip_length={clip_length} "
            "must both be at least 1."
        )
    return int(num_frames), int(clip_length)
