"""reid_jax/input/jitter.py and colors.py: against NumPy, and in batches of sources."""

import colorsys
import itertools

import jax
import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from reid_jax import config_checks
from reid_jax.input import (
    colors,
    files,
    frame_cache,
    jitter,
    rendered,
    rendered_splits,
)
from tests import hand_made

_CHANGES = {
    "brightness": np.array([[0.4, 1.0], [1.7, 1.2]]),
    "contrast": np.array([[0.0, 1.0], [1.9, 0.5]]),
    "saturation": np.array([[0.0, 1.0], [1.9, 0.3]]),
    "hue": np.array([[0.0, 0.5], [-0.1, 0.37]]),
    "gain": np.array([[[1, 1, 1], [2, 1, 0.5]], [[0.3, 1.5, 3], [1, 0.9, 1]]]),
    "gamma": np.array([[0.5, 1.0], [2.0, 1.3]]),
    "autocontrast": np.array([[True, False], [True, True]]),
    "grayscale": np.array([[True, False], [False, True]]),
}
_KERNEL = np.array(
    [[[0, 0, 1, 0, 0], [1, 4, 6, 4, 1]], [[1, 0, 0, 0, 0], [0, 1, 2, 1, 0]]]
)
_CHANGES["blur"] = _KERNEL / _KERNEL.sum(axis=-1, keepdims=True)


def _clips(size=(9, 7), seed=0):
    """Dark, bright and flat pictures among them."""
    rng = np.random.default_rng(seed)
    clips = rng.integers(0, 256, (2, 2, *size, 3), np.uint8)
    clips[0, 0] //= 3
    clips[1, 1] = [200, 40, 40]
    return clips


def _only(**changes):
    nothing = dict.fromkeys(jitter.Colors._fields)
    changes = {
        name: value if value.dtype == bool else value.astype("f")
        for name, value in changes.items()
    }
    return jitter.Colors(**nothing | changes)


def _grey(picture):
    return 0.2989 * picture[..., 0] + 0.587 * picture[..., 1] + 0.114 * picture[..., 2]


def _slow(name, picture, by):
    """One change of one picture in 0..255, in float64, and nothing vectorised twice."""
    x = picture.astype(float)
    match name:
        case "brightness":
            x = by * x
        case "contrast":
            x = by * x + (1 - by) * _grey(x).mean()
        case "saturation":
            x = by * x + (1 - by) * _grey(x)[..., None]
        case "hue":
            for place in np.ndindex(x.shape[:2]):
                h, s, v = colorsys.rgb_to_hsv(*x[place] / 255)
                x[place] = 255 * np.array(colorsys.hsv_to_rgb((h + by) % 1, s, v))
        case "gain":
            x = x * by
        case "gamma":
            x = 255 * (x / 255) ** by
        case "autocontrast" if by:
            for channel in range(3):
                low, high = x[..., channel].min(), x[..., channel].max()
                if high - low >= 0.5:  # else the rounding of a flat one
                    x[..., channel] = (x[..., channel] - low) * 255 / (high - low)
        case "grayscale" if by:
            x = np.repeat(_grey(x)[..., None], 3, axis=-1)
        case "blur":
            reach = len(by) // 2
            height, width = x.shape[:2]
            blurred = np.zeros_like(x)
            for i, j in itertools.product(range(-reach, reach + 1), repeat=2):
                rows = np.clip(np.arange(height) + i, 0, height - 1)
                columns = np.clip(np.arange(width) + j, 0, width - 1)
                blurred += by[i + reach] * by[j + reach] * x[rows][:, columns]
            x = blurred
    return np.clip(x, 0, 255)


def _assert_close(ours, expected):
    # Float32 may round a value that lies between two numbers to the other one.
    difference = np.abs(np.asarray(ours, float) - expected)
    assert difference.max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", _CHANGES)
def test_each_change_by_hand(name):
    clips, by = _clips(), _CHANGES[name]
    changed = colors.change(clips, _only(**{name: by}))
    assert changed.dtype == np.uint8
    for i, t in np.ndindex(2, 2):
        _assert_close(changed[i, t], _slow(name, clips[i, t], by[i, t]))


def test_changes_in_a_row_are_rounded_once():
    clips = _clips(seed=1)
    changed = jax.jit(colors.change)(clips, _only(**_CHANGES))
    for i, t in np.ndindex(2, 2):
        x = clips[i, t]
        for name in jitter.Colors._fields:
            x = _slow(name, x, _CHANGES[name][i, t])
        _assert_close(changed[i, t], x)


def test_the_changes_are_pillows():
    """Pillow rounds after each, and its greys to whole numbers."""
    clips = _clips((64, 32), seed=2)
    picture = Image.fromarray(clips[0, 1])
    yes = np.full((2, 2), True)
    grey = np.asarray(colors.change(clips, _only(grayscale=yes))[0, 1], int)
    assert np.abs(grey[..., 0] - np.asarray(picture.convert("L"))).max() <= 1
    stretched = np.asarray(colors.change(clips, _only(autocontrast=yes))[0, 0], int)
    expected = ImageOps.autocontrast(Image.fromarray(clips[0, 0]))
    assert np.abs(stretched - np.asarray(expected)).max() <= 1
    # Its blur is made of boxes: alike in the mean.
    widest = jitter.Jitter(blur=1.0, blur_sigma=2.0)
    kernels = widest._kernels(yes, np.ones((2, 2)))
    blurred = np.asarray(colors.change(clips, _only(blur=kernels))[0, 1], float)
    expected = np.asarray(picture.filter(ImageFilter.GaussianBlur(2.0)))
    assert np.abs(blurred - expected).mean() < 2 < np.abs(clips[0, 1] - expected).mean()


_ALL = {
    "jitter": 1.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 1.5,
    "hue": 0.1,
    "white_balance": 0.5,
    "gamma": 1.0,
    "autocontrast": 0.3,
    "grayscale": 0.2,
    "blur": 0.5,
    "blur_sigma": 2.0,
}


def test_what_is_drawn_has_its_ranges():
    drawn = jitter.Jitter(**_ALL).draw(np.random.default_rng(0), 4000, 3)
    for name, low, high in [
        ("brightness", 0.6, 1.4),
        ("saturation", 0.0, 2.5),
        ("hue", -0.1, 0.1),
        ("gain", 1 / 1.5, 1.5),
        ("gamma", 0.5, 2.0),
    ]:
        values, span = getattr(drawn, name), high - low
        assert low <= values.min() < low + 0.01 * span
        assert high >= values.max() > high - 0.01 * span
    assert abs(np.log(drawn.gamma).mean()) < 0.04  # 6 standard deviations
    for name in ("autocontrast", "grayscale"):
        assert abs(getattr(drawn, name).mean() - _ALL[name]) < 0.03  # 4 of them
    np.testing.assert_allclose(drawn.blur.sum(axis=-1), 1, rtol=1e-6)
    assert abs((drawn.blur[..., 6] < 1).mean() - 0.5) < 0.03 + 0.03
    for values in drawn:  # once a clip
        assert (values == values[:, :1]).all()
    per_frame = jitter.Jitter(**_ALL, per_frame=True)
    for values in per_frame.draw(np.random.default_rng(0), 9, 3):
        assert (values != values[:, :1]).any()


def test_one_change_more_leaves_the_others():
    some = jitter.Jitter(jitter=0.5, hue=0.1)
    more = jitter.Jitter(jitter=0.5, hue=0.1, gamma=0.5, blur=0.5, grayscale=0.1)
    one, other = (each.draw(np.random.default_rng(3), 8, 2) for each in (some, more))
    np.testing.assert_array_equal(one.hue, other.hue)
    assert one.blur is one.gamma is one.brightness is None
    assert len(np.unique(one.hue == 0)) == 2  # some clips are not jittered


def test_clips_that_were_not_drawn_stay_as_they_are():
    some = jitter.Jitter(**_ALL | {"jitter": 0.4})
    drawn = some.draw(np.random.default_rng(1), 40, 1)
    clips = np.random.default_rng(0).integers(0, 256, (40, 1, 16, 8, 3), np.uint8)
    changed = np.asarray(jax.jit(colors.change)(clips, drawn))
    stay = (drawn.gamma == 1) & ~drawn.autocontrast & ~drawn.grayscale
    stay = (stay & (drawn.blur[..., 6] == 1))[:, 0]
    assert 0 < stay.sum() < 30
    is_unchanged = (changed == clips).all(axis=(1, 2, 3, 4))
    np.testing.assert_array_equal(is_unchanged, stay)


class _Street:
    """Stands for the renderer, which takes a minute to compile: noise by the key."""

    def __init__(self, world):
        self.frame_size = world.sizes.frame_size

    def clips(self, key, persons, *, k, clip_length, rows):
        shape = (len(persons) * k, clip_length, *self.frame_size, 3)
        return jax.random.randint(key, shape, 0, 256).astype("uint8")[rows]


@pytest.fixture(
    params=["disk", pytest.param("device", marks=pytest.mark.slow), "render"]
)
def open_source(request, tiny_config, tmp_path, monkeypatch):
    """Opens files (from the disk or the device) or a world that is rendered."""
    monkeypatch.setattr(rendered.stream, "Street", _Street)

    def build_world(sizes):
        world = object.__new__(rendered_splits.World)  # paints no backdrops
        world.sizes = sizes
        return world

    monkeypatch.setattr(rendered_splits, "_build_world", build_world)
    tiny_config.augment.flip = tiny_config.augment.crop = 0.0
    if request.param == "render":
        tiny_config.data.update(name="walkers/tiny", source="render")
        return lambda: rendered.RenderedSource(tiny_config)
    tiny_config.data.cache = request.param
    split = frame_cache.join(hand_made.of_many_sizes(tmp_path))
    return lambda: hand_made.source(split, tiny_config)


def _batches(source, first_step, num):
    batches = source.train_batches(first_step)
    return [np.asarray(batch["clips"]) for batch in itertools.islice(batches, num)]


def test_batches_of_every_source(open_source, tiny_config):
    plain = _batches(open_source(), 0, 3)
    # Ranges without a probability change nothing.
    tiny_config.augment.update(_ALL | dict.fromkeys(_OFF, 0.0))
    for one, other in zip(plain, _batches(open_source(), 0, 3), strict=True):
        np.testing.assert_array_equal(one, other)
    tiny_config.augment.update(_ALL)
    straight = _batches(open_source(), 0, 3)
    (resumed,) = _batches(open_source(), 2, 1)
    np.testing.assert_array_equal(straight[2], resumed)
    assert all((a != b).any() for a, b in zip(plain, straight, strict=True))
    # Boxes are painted last, in their exact colour, on the same changed pixels.
    tiny_config.augment.erase = 1.0
    (erased,) = _batches(open_source(), 2, 1)
    is_box = (erased == (124, 116, 104)).all(axis=-1)
    assert is_box.any(axis=(1, 2, 3)).all() and not is_box.all()
    if tiny_config.data.source == "render":  # files draw other frames beside a box
        np.testing.assert_array_equal(erased[~is_box], resumed[~is_box])


_OFF = ("jitter", "autocontrast", "grayscale", "blur")


def test_evaluation_is_never_changed(tiny_config, tmp_path):
    split = hand_made.five_persons(tmp_path)
    plain = next(hand_made.source(split, tiny_config).eval_batches("query"))
    tiny_config.augment.update(_ALL | {"erase": 1.0})
    shown = next(hand_made.source(split, tiny_config).eval_batches("query"))
    np.testing.assert_array_equal(plain["clips"], shown["clips"])


def test_a_process_makes_its_rows_of_the_batch(tiny_config, tmp_path, monkeypatch):
    tiny_config.augment.update(_ALL)
    split = hand_made.five_persons(tmp_path)
    (whole,) = _batches(hand_made.source(split, tiny_config), 0, 1)
    rows = np.array([1, 2])
    monkeypatch.setattr(files.parallel, "local_rows", lambda num_clips, mesh: rows)
    (part,) = _batches(hand_made.source(split, tiny_config), 0, 1)
    np.testing.assert_array_equal(part, whole[rows])


def test_what_cannot_be_drawn(tiny_config):
    tiny_config.augment.update(jitter=1.5, gamma=-0.1, hue=0.6, blur_sigma=0.0)
    with pytest.raises(ValueError) as error:
        config_checks.check_config(tiny_config)
    for text in (
        "config.augment.jitter=1.5 must be in 0..1",
        "config.augment.gamma=-0.1 must not be below 0",
        "config.augment.hue=0.6 must be in 0..0.5",
        "config.augment.blur_sigma=0.0 must be in 0.1..10 pixels",
    ):
        assert text in str(error.value)
