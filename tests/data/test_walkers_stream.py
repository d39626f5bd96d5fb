"""Clips sampled on the device: P×K, endless, and never of held-out persons."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.walkers import person, plan, stream
from data.walkers.sizes import SIZES

SMALL = dataclasses.replace(SIZES["tiny"], frame_height=32, frame_width=16)


@pytest.fixture(scope="module")
def street():
    return stream.Street(SMALL)


def _batch(street, seed, **kwargs):
    clips, labels = street.batch(
        jax.random.key(seed), p=3, k=2, clip_length=3, **kwargs
    )
    return np.asarray(clips), np.asarray(labels)


def test_a_batch_has_p_persons_k_times(street):
    clips, labels = _batch(street, 0)
    assert clips.shape == (6, 3, 32, 16, 3)
    assert clips.dtype == np.uint8
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (clips.std((1, 2, 3, 4)) > 5).all()
    # The frames of a clip move.
    assert (np.abs(np.diff(clips.astype(float), axis=1)).mean((2, 3, 4)) > 0.2).all()


def test_a_key_is_a_batch_and_another_key_another(street):
    first, again, other = (_batch(street, seed)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(float) - other).mean() > 10


def test_held_out_persons_are_others(street):
    training, held_out = _batch(street, 0)[0], _batch(street, 0, held_out=True)[0]
    assert np.abs(training.astype(float) - held_out).mean() > 2


def test_labels_of_a_closed_set_are_its_persons(street, monkeypatch):
    closed = stream.Street(SMALL, num_persons=4)
    shown = []
    monkeypatch.setattr(stream, "_render", lambda *args, **_: shown.append(args[2]))
    seen = set()
    for seed in range(5):
        _, labels = closed.batch(jax.random.key(seed), p=3, k=2, clip_length=3)
        assert len(set(labels.tolist())) == 3
        assert (labels[::2] == labels[1::2]).all()
        assert (shown[-1] - stream.FIRST_PERSON).tolist() == labels.tolist()
        seen |= set(labels.tolist())
    assert seen == {0, 1, 2, 3}
    # Held out: new ones, whose labels count within the batch.
    _, labels = closed.batch(jax.random.key(0), p=3, k=2, clip_length=3, held_out=True)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (shown[-1] >= stream.HELD_OUT).all()


def _mark(someone):
    """A byte that tells persons and days apart."""
    return (jnp.sum(someone.outfit.upper) * 1e4).astype(int) % 251


def test_a_clip_goes_on_from_somewhere_in_the_next_camera(monkeypatch):
    def told(someone, camera, walk, frame, backdrops, camid, optics, frame_size):
        facts = jnp.stack([camid, frame.astype(int), _mark(someone)])
        return jnp.broadcast_to(facts.astype(jnp.uint8), (*frame_size, 3))

    monkeypatch.setattr(stream.render, "render_frame", told)
    sizes = dataclasses.replace(
        SMALL, days=2, num_frames=(9, 40), median_frames=20, frame_width=7
    )  # a shape of its own: compiled now
    street = stream.Street(sizes, num_persons=12)
    clips, labels = street.batch(jax.random.key(0), p=12, k=4, clip_length=3)
    camid, frame, mark = np.moveaxis(np.asarray(clips)[:, :, 0, 0], -1, 0)
    assert (camid == camid[:, :1]).all() and (mark == mark[:, :1]).all()
    starts = camid[::4, 0]
    expected = (starts[:, None] + np.arange(4)) % sizes.num_cameras
    np.testing.assert_array_equal(camid[:, 0].reshape(12, 4), expected)
    assert set(starts.tolist()) == {0, 1, 2}
    assert (np.diff(frame.astype(int), axis=1) == 1).all()
    assert frame[:, 0].min() < 3 and 14 < frame[:, 0].max() <= 20 - 3
    key = plan.key(sizes.seed, plan.PERSON)
    days = []
    for label, shown in zip(np.asarray(labels).tolist(), mark[:, 0], strict=True):
        number = stream.FIRST_PERSON + label
        marks = [
            int(_mark(person.nth_person(key, number, day, twins=1, dark=0.4)))
            for day in (0, 1)
        ]
        assert marks[0] != marks[1]
        days.append(marks.index(shown))
    assert 12 < sum(days) < 36


def test_batches_of_nothing():
    with pytest.raises(ValueError, match="k=0, clip_length=3: all must be at least 1"):
        stream.Street(SMALL).batch(jax.random.key(0), p=2, k=0, clip_length=3)


@pytest.mark.parametrize("twins", [2, 3, 4, 5, 6])
def test_new_persons_come_in_whole_groups_of_twins(twins):
    first, count = stream.FIRST_PERSON, 2 * twins
    persons = stream.new_persons(jax.random.key(0), count, twins, first)
    persons = np.asarray(persons)
    assert (first <= persons).all() and (persons < stream.HELD_OUT).all()
    assert len(set(((persons - 1) // twins).tolist())) == 2
    assert len(set(persons.tolist())) == count


def test_persons_of_files_are_not_streamed():
    largest = max(
        entry.person for sizes in SIZES.values() for entry in plan.plan(sizes)
    )
    assert largest < stream.FIRST_PERSON


def test_too_few_persons_for_a_batch():
    street = stream.Street(SMALL, num_persons=2)
    with pytest.raises(ValueError, match="p=3 persons of num_persons=2"):
        street.batch(jax.random.key(0), p=3, k=2, clip_length=3)


@pytest.mark.slow
def test_batches_render_alike_one_by_one_and_together(street, monkeypatch):
    # A GPU renders many frames at once; the scene is the same but for rounding.
    one_by_one = _batch(street, 3)[0]
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    together = _batch(street, 3)[0]
    difference = np.abs(one_by_one.astype(int) - together)
    assert (difference > 2).mean() < 1e-3
