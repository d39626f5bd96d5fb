"""reid_jax/clips.py, against the published indices and by property."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import tests
from reid_jax import clips

CASES = json.loads((tests.GOLDEN / "clips.json").read_text())


@pytest.mark.parametrize(
    "case", CASES["cases"], ids=lambda c: f"{c['num_frames']}x{c['clip_len']}"
)
def test_indices_of_the_published_code(case):
    n, T = case["num_frames"], case["clip_len"]
    np.testing.assert_array_equal(clips.dense_clips(n, T), case["dense"])
    draws = {
        tuple(clips.sample_clip(np.random.default_rng(seed), n, T).tolist())
        for seed in range(60 * (max(0, n - T) + 1))
    }
    assert tuple(case["random_first"]) in draws
    assert tuple(case["random_last"]) in draws
    # Differs: the published code never draws the last start, n - T.
    starts = {draw[0] for draw in draws}
    assert starts == set(range(max(0, n - T) + 1))
    assert max(starts) in (case["random_start_range"][1], n - T)


def test_weights_are_the_shares_of_identities_drawn():
    # 30 identities of one dataset and 10 of another, to be drawn half and half.
    labels = np.repeat(np.arange(40), 2)
    weights = np.where(labels < 30, 1 / 30, 1 / 10)
    drawn = [
        clips.identity_batches(labels, 2, 2, seed=0, epoch=epoch, weights=weights)
        for epoch in range(40)
    ]
    assert drawn[0].shape == (20, 4)
    identities = labels[np.concatenate(drawn)][:, ::2]
    assert (identities[:, 0] != identities[:, 1]).all()
    np.testing.assert_allclose((identities < 30).mean(), 0.5, atol=0.03)
    counts = np.bincount(identities.ravel(), minlength=40)
    assert counts[:30].std() < 3 * counts[:30].mean() ** 0.5 and counts.min() > 0
    again = clips.identity_batches(labels, 2, 2, seed=0, epoch=7, weights=weights)
    np.testing.assert_array_equal(again, drawn[7])


def test_shares_are_exact_where_a_dataset_is_hardly_larger_than_a_batch():
    # 12 and 4 identities at 5 : 1, six a batch: five of the first, one of the second.
    labels = np.repeat(np.arange(16), 2)
    weights = np.where(labels < 12, 5 / 12, 1 / 4)

    def drawn(p, weights):
        batches = [
            clips.identity_batches(labels, p, 1, seed=1, epoch=epoch, weights=weights)
            for epoch in range(300)
        ]
        identities = labels[np.concatenate(batches)]
        assert all(len(set(batch)) == p for batch in identities.tolist())
        return np.bincount(identities.ravel(), minlength=16) / len(identities)

    frequency = drawn(6, weights)
    np.testing.assert_allclose(frequency[:12], 5 / 12, atol=0.06)
    np.testing.assert_allclose(frequency[12:], 1 / 4, atol=0.05)
    # Four identities cannot be half of twelve: each batch has them all.
    frequency = drawn(12, np.where(labels < 12, 1 / 12, 1 / 4))
    np.testing.assert_array_equal(frequency[12:], 1)
    np.testing.assert_allclose(frequency[:12], 8 / 12, atol=0.06)
    np.testing.assert_array_equal(drawn(16, weights), 1)


@hypothesis.given(
    st.lists(st.floats(1e-6, 1e6), min_size=3, max_size=20), st.integers(1, 3)
)
def test_any_weights_draw_different_identities(weights, p):
    labels = np.arange(len(weights))
    batches = clips.identity_batches(
        labels, p, 1, seed=0, epoch=0, weights=np.asarray(weights)
    )
    assert all(len(set(batch)) == p for batch in batches.tolist())


def test_identities_meet_in_all_combinations():
    batches = [
        clips.identity_batches(
            np.arange(5), 2, 1, seed=0, epoch=epoch, weights=np.ones(5)
        )
        for epoch in range(60)
    ]
    pairs = {tuple(pair) for pair in np.concatenate(batches).tolist()}
    assert len(pairs) == 20  # in either order


@hypothesis.given(n=st.integers(1, 400), T=st.integers(1, 20))
def test_dense_clips_hold_every_frame_in_order(n, T):
    index = clips.dense_clips(n, T)
    assert index.shape == (-(-n // T), T)
    np.testing.assert_array_equal(np.unique(index), np.arange(n))
    assert (index // T == np.arange(len(index))[:, None]).all()


def test_every_start_is_equally_likely():
    rng = np.random.default_rng(0)
    starts = np.bincount([clips.sample_clip(rng, 10, 4)[0] for _ in range(7000)])
    # Seven starts, 1000 draws each on average, standard deviation 29: five of them.
    assert len(starts) == 7
    assert abs(starts - 1000).max() < 150


def test_unsigned_lengths_do_not_wrap():
    n, T = np.uint16(2), np.uint16(5)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(clips.sample_clip(rng, n, T), [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(clips.dense_clips(n, T), [[0, 1, 0, 1, 0]])


@pytest.mark.parametrize(("n", "T"), [(0, 4), (4, 0), (-1, 1)])
def test_impossible_lengths(n, T):
    with pytest.raises(ValueError, match="at least 1"):
        clips.dense_clips(n, T)
    with pytest.raises(ValueError, match="at least 1"):
        clips.sample_clip(np.random.default_rng(0), n, T)


@hypothesis.given(
    counts=st.lists(st.integers(1, 7), min_size=1, max_size=25),
    p=st.integers(1, 8),
    k=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 5),
)
def test_batches_hold_p_identities_k_times(counts, p, k, seed, epoch):
    hypothesis.assume(p <= len(counts))
    labels = np.random.default_rng(0).permutation(np.repeat(range(len(counts)), counts))
    batches = clips.identity_batches(labels, p, k, seed=seed, epoch=epoch)
    assert batches.shape == (-(-len(counts) // p), p * k)
    for batch in batches:
        groups = labels[batch].reshape(p, k)
        assert (groups == groups[:, :1]).all()
        assert len(set(groups[:, 0])) == p
        for tracklets in batch.reshape(p, k):
            times = np.bincount(tracklets)[np.unique(tracklets)]
            available = counts[labels[tracklets[0]]]
            assert len(times) == min(k, available)
            assert times.max() - times.min() <= 1
    first = labels[batches].reshape(-1, k)[: len(counts), 0]
    np.testing.assert_array_equal(np.sort(first), range(len(counts)))


def test_last_group_is_filled_from_the_next_epoch():
    labels = np.arange(5)
    now = clips.identity_batches(labels, 3, 1, seed=1, epoch=0)
    following = clips.identity_batches(labels, 3, 1, seed=1, epoch=1).ravel()[:5]
    expected = next(i for i in following if i not in now[1, :2])
    assert now[1, 2] == expected


def test_batches_are_a_function_of_seed_and_epoch():
    labels = np.repeat(np.arange(9), 4)

    def batches(seed, epoch):
        return clips.identity_batches(labels, 3, 2, seed=seed, epoch=epoch)

    np.testing.assert_array_equal(batches(3, 7), batches(3, 7))
    assert (batches(3, 7) != batches(3, 8)).any()
    assert (batches(3, 7) != batches(4, 7)).any()


def test_too_few_identities():
    with pytest.raises(ValueError, match=r"P=3.*only 2: --config\.data\.p=2 or"):
        clips.identity_batches(np.array([4, 9, 9]), 3, 2, seed=0, epoch=0)
    with pytest.raises(ValueError, match="P=2 and K=0"):
        clips.identity_batches(np.array([4, 9, 9]), 2, 0, seed=0, epoch=0)


@pytest.mark.parametrize("n", [1, 2, 4, 7, 12, 13])
def test_restricted_clips_take_a_frame_of_each_part(n):
    rng, T = np.random.default_rng(0), 4
    drawn = np.array([clips.restricted_clip(rng, n, T) for _ in range(400)])
    for t, column in enumerate(drawn.T):
        first, end = t * n // T, max((t + 1) * n // T, t * n // T + 1)
        assert set(column) == set(range(first, end))
    assert (np.diff(drawn, axis=1) >= 0).all()
