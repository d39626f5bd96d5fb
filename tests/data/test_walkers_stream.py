"""Clips sampled on the device: P×K, and endless."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.walkers import plan, stream
from data.walkers.sizes import SIZES
from data.walkers.world import World

SMALL = dataclasses.replace(SIZES["tiny"], frame_height=32, frame_width=16)


PERSONS = stream.FIRST_PERSON + np.arange(3)


@pytest.fixture(scope="module")
def street():
    return stream.Street(World(SMALL))


def _clips(street, seed):
    key = jax.random.key(seed)
    return np.asarray(street.clips(key, PERSONS, k=2, clip_length=3))


def test_clips_are_frames_that_move_and_a_function_of_the_key(street):
    clips, again, other = (_clips(street, seed) for seed in (0, 0, 1))
    assert clips.shape == (6, 3, 32, 16, 3)
    assert clips.dtype == np.uint8
    assert (clips.std((1, 2, 3, 4)) > 5).all()
    assert (np.abs(np.diff(clips.astype(float), axis=1)).mean((2, 3, 4)) > 0.2).all()
    np.testing.assert_array_equal(clips, again)
    assert np.abs(clips.astype(float) - other).mean() > 10


def _mark(someone):
    """A byte that tells persons and days apart."""
    return (jnp.sum(someone.outfit.upper) * 1e4).astype(int) % 251


def test_a_clip_goes_on_from_somewhere_in_the_next_camera(monkeypatch):
    """And shows the person, as dressed on one of the days, that files would show."""

    def told(someone, camera, walk, frame, backdrops, camid, optics, frame_size):
        facts = jnp.stack([camid, frame.astype(int), _mark(someone)])
        return jnp.broadcast_to(facts.astype(jnp.uint8), (*frame_size, 3))

    monkeypatch.setattr(stream.render, "render_frame", told)
    sizes = dataclasses.replace(
        SMALL, days=2, num_frames=(9, 40), median_frames=20, frame_width=7
    )  # a shape of its own: compiled now
    persons = stream.FIRST_PERSON + np.arange(12)
    street = stream.Street(World(sizes))
    clips = street.clips(jax.random.key(0), persons, k=4, clip_length=3)
    camid, frame, mark = np.moveaxis(np.asarray(clips)[:, :, 0, 0], -1, 0)
    assert (camid == camid[:, :1]).all() and (mark == mark[:, :1]).all()
    starts = camid[::4, 0]
    expected = (starts[:, None] + np.arange(4)) % sizes.num_cameras
    np.testing.assert_array_equal(camid[:, 0].reshape(12, 4), expected)
    assert set(starts.tolist()) == {0, 1, 2}
    assert (np.diff(frame.astype(int), axis=1) == 1).all()
    assert frame[:, 0].min() < 3 and 14 < frame[:, 0].max() <= 20 - 3
    of_files, days = World(sizes), []
    for number, shown in zip(np.repeat(persons, 4), mark[:, 0], strict=True):
        marks = [int(_mark(of_files.person(int(number), day))) for day in (0, 1)]
        assert marks[0] != marks[1]
        days.append(marks.index(shown))
    assert 12 < sum(days) < 36


def test_batches_of_nothing():
    with pytest.raises(ValueError, match="k=0, clip_length=3: all must be at least 1"):
        stream.Street(World(SMALL)).clips(
            jax.random.key(0), PERSONS, k=0, clip_length=3
        )


@pytest.mark.parametrize("twins", [1, 2, 3, 4, 5, 6])
def test_streamed_persons_begin_with_a_whole_group_of_twins(twins):
    first = stream.first_person(twins)
    assert 0 <= first - stream.FIRST_PERSON < twins
    assert (first - 1) % twins == 0


def test_persons_of_files_are_not_streamed():
    largest = max(
        entry.person for sizes in SIZES.values() for entry in plan.plan(sizes)
    )
    assert largest < stream.FIRST_PERSON


@pytest.mark.slow
def test_batches_render_alike_one_by_one_and_together(street, monkeypatch):
    # A GPU renders many frames at once; the scene is the same but for rounding.
    one_by_one = _clips(street, 3)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    together = _clips(street, 3)
    difference = np.abs(one_by_one.astype(int) - together)
    assert (difference > 2).mean() < 1e-3
