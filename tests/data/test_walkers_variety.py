"""The world `anywhere`: what its cameras and people add, each of it on and off."""

import dataclasses

import jax
import numpy as np
import pytest

from data.walkers import cloth, compression, person, plan, stream
from data.walkers.sizes import SIZES, Sizes
from data.walkers.style import Style
from data.walkers.variety import EVERYTHING, Variety
from data.walkers.world import World

TINY = SIZES["tiny"]
FEATURES = [field.name for field in dataclasses.fields(Variety)]
OF_PEOPLE = {"cloth", "prints", "folds", "builds", "hair", "extras", "alike"}


def _world(variety, **style):
    calm = dataclasses.replace(
        TINY.style, occlusion=0.0, passing=0.0, variety=variety, **style
    )
    return World(dataclasses.replace(TINY, style=calm))


def _frames(world, num=12):
    """The first frame of each of some test tracklets: float [num, H, W, 3]."""
    entries = [entry for entry in plan.plan(TINY) if entry.split != "train"][:num]
    rendered = world.render(entries, max_frames=1)
    return np.concatenate([frames for _, frames in rendered]).astype(float)


@pytest.fixture(scope="module")
def off():
    return _frames(_world(Variety()))


def test_worlds_without_variety_hold_nothing_of_it():
    """So their programs, and their bytes, are what they always were."""
    assert all(s.style.variety is None for n, s in SIZES.items() if n != "anywhere")
    world = World(TINY)
    entry = plan.plan(TINY)[0]
    walk = world.tracklet(entry)
    assert world.cameras.look is world.person(1, 0).extras is None
    assert walk.look is walk.passer.extras is None
    explicit = World(dataclasses.replace(TINY, style=Style(variety=None)))
    np.testing.assert_array_equal(_frames(explicit), _frames(world))


@pytest.mark.slow
def test_all_switched_off_shows_the_same_scenes(off):
    # Another program, so other rounding: rows of a pattern's edge may fall otherwise.
    change = np.abs(off - _frames(_world(None)))
    assert (change > 2).mean() < 2e-3


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_each_feature_is_seen_when_it_is_on(feature, off):
    change = np.abs(_frames(_world(Variety(**{feature: 1.0}))) - off)
    each = change.mean((1, 2, 3))
    assert (each > 0.3).mean() >= 0.5
    if feature in OF_PEOPLE:  # it is the person that changes, not what is around
        corners = change[:, :6][:, :, [0, 1, -2, -1]].mean()
        assert change[:, 8:56, 8:24].mean() > 3 * corners


@pytest.mark.slow
def test_same_seed_same_bytes():
    np.testing.assert_array_equal(
        _frames(_world(EVERYTHING)), _frames(_world(EVERYTHING))
    )


@pytest.mark.slow
def test_frames_have_a_range_of_values_however_they_are_exposed():
    harsh = dataclasses.replace(EVERYTHING, fog=1.0, low_light=1.0)
    for variety in (EVERYTHING, Variety(exposure=1.0), harsh):
        frames = _frames(_world(variety))
        ranges = np.percentile(frames, 99, (1, 2, 3)) - np.percentile(
            frames, 1, (1, 2, 3)
        )
        assert ranges.min() > 20
        assert np.median(ranges) > 80


@pytest.mark.slow
def test_exposure_clips_some_cameras():
    means = _frames(_world(Variety(exposure=1.0)), 24).mean((1, 2, 3))
    assert means.max() - means.min() > 70


@pytest.mark.slow
def test_blank_leaves_the_person_out_with_all_that_is_worn():
    with_person, without = (_frames(_world(EVERYTHING, blank=b)) for b in (0.0, 1.0))
    change = np.abs(with_person - without)
    assert change[:, 8:56, 8:24].mean() > 4 * change[:, :6][:, :, [0, -1]].mean()


def _persons(variety, numbers, day=0, twins=1):
    return [
        person.nth_person(
            plan.key(0, plan.PERSON), n, day, twins=twins, dark=0.4, variety=variety
        )
        for n in numbers
    ]


def test_what_persons_have_already_is_not_drawn_again():
    """With everything off a person is the one of the other worlds."""
    for old, new in zip(
        _persons(None, range(1, 5)), _persons(Variety(), range(1, 5)), strict=True
    ):
        same = dataclasses.replace(new, extras=None)
        jax.tree.map(np.testing.assert_array_equal, old, same)


def test_many_wear_common_colours_and_differ_otherwise():
    someone = _persons(Variety(alike=1.0, cloth=1.0, hair=1.0), range(1, 33))
    colors = {np.asarray(one.outfit.upper).tobytes() for one in someone}
    looks = {np.asarray(one.extras.cloths[1]).tobytes() for one in someone}
    heights = {float(one.build.height) for one in someone}
    assert len(colors) <= 16
    assert len(looks) > 20
    assert len(heights) == 32


def test_another_day_changes_the_clothes_but_not_hair_and_build():
    first, second = (_persons(EVERYTHING, [3], day)[0] for day in (0, 1))
    for part in ("build", "face", "gait"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(first, part), getattr(second, part)
        )
    for part in ("beard", "knot", "ends"):
        np.testing.assert_array_equal(
            getattr(first.extras, part), getattr(second.extras, part)
        )
    assert (first.extras.cloths != second.extras.cloths).any()


def test_twins_share_the_cloth():
    first, second = _persons(EVERYTHING, [1, 2], twins=2)
    jax.tree.map(np.testing.assert_array_equal, first.extras, second.extras)
    assert first.gait.cadence != second.gait.cadence


def test_patterns_close_around_a_part():
    wave = np.array([[7.0, 0.0], [0.0, -9.0]], np.float32)
    garment = dataclasses.replace(cloth.plain(), waves=wave)
    garments = np.stack([cloth.pack(one) for one in (cloth.plain(), garment)])
    radii = np.array([0.11, 0.1], np.float32)
    parts = cloth.cut(garments, np.array([1, 0]), radii, np.ones(2, np.float32))
    first, second = (cloth.unpack(part) for part in parts)
    # 7 cycles a metre on 2 pi 0.11 = 0.69 m are 4.8 cycles: 5.
    np.testing.assert_allclose(first.waves, [[5, 0], [0, -9]], atol=1e-5)
    np.testing.assert_array_equal(second.waves, np.zeros((2, 2)))
    np.testing.assert_allclose(second.size, [0.2 * np.pi, 1.0], rtol=1e-6)


@pytest.mark.parametrize("size", [16, 20, 5])
def test_cosines_are_orthonormal(size):
    matrix = compression.cosines(size)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-6)


def _compressed(image, step):
    coefficients = compression.quantize(image, step)
    up_y, up_x = compression.undo(*(np.eye(n) for n in image.shape[1:]), step)
    return np.einsum("ih,chw,jw->cij", up_y, coefficients, up_x)


def test_compression_keeps_blocks_means_and_loses_detail():
    image = np.random.default_rng(0).uniform(0.3, 0.7, (3, 16, 24)).astype(np.float32)
    np.testing.assert_allclose(_compressed(image, 1e-4), image, atol=2e-3)
    blocks = _compressed(image, 2.0).reshape(3, 2, 8, 3, 8)
    assert np.ptp(blocks, axis=(2, 4)).max() < 1e-5
    np.testing.assert_array_equal(compression.quantize(image, 0.0), image)
    np.testing.assert_allclose(_compressed(image, 0.0), image, atol=1e-6)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "x"])
def test_varieties_that_cannot_be_are_refused(value):
    style = Style(variety=Variety(cast=value))
    with pytest.raises(ValueError, match=r"style\.variety\.cast=.* from 0 to 1"):
        Sizes(style=style)


def test_a_variety_is_a_variety():
    with pytest.raises(ValueError, match="must be None or a Variety"):
        Sizes(style=Style(variety=1.0))


@pytest.mark.slow
def test_streamed_clips_of_the_world_move_and_differ():
    sizes = dataclasses.replace(SIZES["anywhere"], frame_height=32, frame_width=16)
    street = stream.Street(World(sizes))
    persons = stream.FIRST_PERSON + np.arange(3)
    clips = np.asarray(street.clips(jax.random.key(0), persons, k=2, clip_length=2))
    assert clips.shape == (6, 2, 32, 16, 3)
    assert (np.ptp(clips, axis=(1, 2, 3, 4)) > 20).all()
