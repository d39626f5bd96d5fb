"""reid_jax/scoring/corruptions.py: what each change does, and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reid_jax.scoring import corruptions
from reid_jax.scoring.corruptions import CORRUPTIONS

KEYS = jax.random.split(jax.random.key(0), 64)
RNG = np.random.default_rng(0)
CLIPS = RNG.integers(60, 200, (3, 5, 32, 16, 3)).astype(np.uint8)
WEIGHTS = RNG.normal(size=(5 * 32 * 16 * 3, 7)).astype("f") / 255


def _network(weights, clips):
    x = jnp.asarray(clips, jnp.float32).reshape(len(clips), -1)
    return jnp.tanh(x @ weights / 50)


_embed = jax.tree_util.Partial(_network, WEIGHTS)


def _changed(name, level, keys=KEYS, clips=CLIPS):
    return CORRUPTIONS[name].apply(clips, level, keys[: len(clips)], _embed)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_clips_stay_clips_and_depend_on_the_key_alone(name):
    before = CLIPS.copy()
    for level in CORRUPTIONS[name].levels:
        low, high = CORRUPTIONS[name].limits
        assert low <= level <= high
        once, again = _changed(name, level), _changed(name, level)
        assert isinstance(once, np.ndarray)
        assert (once.shape, once.dtype) == (CLIPS.shape, np.uint8)
        np.testing.assert_array_equal(once, again)
    assert (once != CLIPS).any()
    np.testing.assert_array_equal(CLIPS, before)
    is_random = name not in ("blur", "low_light", "jpeg")
    other = _changed(name, level, keys=KEYS[::-1])
    assert (other != once).any() == is_random
    # Each clip by its own key, in whatever batch it is; rounding decides the signs of
    # attacks' smallest gradients.
    one_by_one = [_changed(name, level, KEYS[i:], CLIPS[i : i + 1]) for i in range(3)]
    differs = np.concatenate(one_by_one) != once
    assert differs.mean() < (1e-3 if name in ("fgsm", "pgd") else 1e-9)


@pytest.mark.parametrize(
    ("name", "nothing"),
    [("noise", 0), ("low_light", 1), ("dropped_frames", 0), ("bar", 0)],
)
def test_nothing_of_it_changes_nothing(name, nothing):
    np.testing.assert_array_equal(_changed(name, nothing), CLIPS)


@pytest.mark.parametrize("variance", [1e-4, 3e-3])
def test_noise_has_the_variance_asked_for(variance):
    grey = np.full((4, 8, 64, 32, 3), 128, np.uint8)
    noise = _changed("noise", variance, clips=grey).astype(float) / 255 - 128 / 255
    rounding = 1 / 12 / 255**2
    np.testing.assert_allclose(noise.var(), variance + rounding, rtol=0.02)
    assert abs(noise.mean()) < 5 * variance**0.5 / noise.size**0.5
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 0.02


def test_noise_is_cut_at_black_and_white():
    black = np.zeros((1, 2, 8, 8, 3), np.uint8)
    assert _changed("noise", 0.01, clips=black).min() == 0
    assert _changed("noise", 0.01, clips=255 - black).max() == 255


def test_blur_keeps_a_plane_and_spreads_a_point():
    plane = np.full((1, 1, 9, 9, 3), 77, np.uint8)
    np.testing.assert_array_equal(_changed("blur", 1, clips=plane), plane)
    point = np.zeros((1, 1, 9, 9, 3), np.uint8)
    point[0, 0, 4, 4] = 255
    spread = _changed("blur", 1, clips=point)[0, 0, :, :, 0]
    np.testing.assert_array_equal(spread, spread.T)
    assert spread[4, 4] == round(255 * 0.3989**2) or abs(spread[4, 4] - 41) <= 1


def test_low_light_is_linear_in_the_light():
    clips = np.full((1, 1, 2, 2, 3), 200, np.uint8)
    dark = _changed("low_light", 0.25, clips=clips)
    np.testing.assert_allclose((dark / 200) ** 2.2, 0.25, rtol=0.02)


def test_jpeg_is_worse_at_a_lower_quality():
    def error(quality):
        return np.abs(_changed("jpeg", quality).astype(int) - CLIPS).mean()

    assert 0 < error(90) < error(30) < error(5)


def test_lost_frames_show_the_one_before():
    clips = np.broadcast_to(
        np.arange(40, dtype=np.uint8)[None, :, None, None, None], (50, 40, 1, 1, 3)
    )
    shown = _changed("dropped_frames", 0.3, clips=clips)[:, :, 0, 0, 0]
    lost = shown != np.arange(40)
    assert not lost[:, 0].any()
    np.testing.assert_allclose(lost[:, 1:].mean(), 0.3, atol=0.03)
    for row, is_lost in zip(shown, lost, strict=True):
        remaining = np.flatnonzero(~is_lost)
        expected = remaining[
            np.searchsorted(remaining, np.arange(40), side="right") - 1
        ]
        np.testing.assert_array_equal(row, expected)
    all_lost = _changed("dropped_frames", 1, clips=clips)
    assert (all_lost == 0).all()


def test_a_bar_stands_still_and_has_its_width():
    changed = (_changed("bar", 0.25) != CLIPS).any(axis=-1)  # a grey may equal the bar
    columns = changed.mean(axis=2) > 0.5
    assert (columns.sum(axis=-1) == 4).all()
    assert (columns == columns[:, :1]).all()


@pytest.mark.parametrize("name", ["fgsm", "pgd"])
def test_attacks_move_the_embedding_within_their_bound(name):
    def moved(clips):
        return np.linalg.norm(np.asarray(_embed(clips) - _embed(CLIPS)), axis=1)

    attacked = _changed(name, 3)
    assert np.abs(attacked.astype(int) - CLIPS).max() == 3
    random = CLIPS + RNG.choice([-3, 3], CLIPS.shape)
    assert (moved(attacked) > 3 * moved(random)).all()


def test_an_attack_is_compiled_once_for_all_weights():
    """They are arguments: no constants of the program, which would be as large."""
    clips, reference = CLIPS.astype(np.float32), np.zeros((3, 7), np.float32)
    _changed("fgsm", 1)
    compiled = corruptions._gradient._cache_size()
    others = jax.tree_util.Partial(_network, 2 * WEIGHTS)
    CORRUPTIONS["fgsm"].apply(CLIPS, 1, KEYS[:3], others)
    assert corruptions._gradient._cache_size() == compiled
    program = corruptions._gradient.lower(clips, reference, _embed).as_text()
    assert len(program) < WEIGHTS.nbytes / 4


def test_ten_steps_move_it_as_far_as_one():
    def moved(name):
        attacked = _changed(name, 4)
        return np.linalg.norm(np.asarray(_embed(attacked) - _embed(CLIPS)))

    assert moved("pgd") > 0.9 * moved("fgsm")
