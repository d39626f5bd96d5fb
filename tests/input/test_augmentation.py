"""reid_jax/input/augmentation.py: boxes that fit, as often as asked, one a clip."""

import itertools

import numpy as np
import pytest

from reid_jax.input import augmentation, files, resizing


@pytest.fixture
def config(tiny_config):
    tiny_config.augment.erase = 0.5
    tiny_config.model.frame_size = (64, 32)
    return tiny_config


def test_boxes_are_of_the_published_sizes():
    rng = np.random.default_rng(0)
    boxes = augmentation.draw_boxes(rng, 4000, 0.5, (64, 32))
    drawn = boxes[boxes.any(axis=1)]
    assert abs(len(drawn) / len(boxes) - 0.5) < 0.03  # 3.8 standard deviations
    top, left, bottom, right = drawn.T
    assert (top >= 0).all() and (left >= 0).all()
    assert bottom.max() == 64 and right.max() == 32
    height, width = bottom - top, right - left
    share = height * width / (64 * 32)
    assert 0.015 < share.min() < 0.04 and 0.35 < share.max() < 0.42
    ratio = height / width
    assert 0.2 < ratio.min() < 0.5 and 2.5 < ratio.max() < 4.5


def test_nothing_is_erased_where_no_box_fits():
    rng = np.random.default_rng(0)
    assert not augmentation.draw_boxes(rng, 9, 1.0, (1, 64)).any()


def test_the_box_of_each_frame_is_painted():
    frames = np.zeros((2, 3, 64, 32, 3), np.uint8)
    boxes = np.zeros((2, 3, 4), int)
    boxes[0, 1:] = [10, 4, 20, 9], [0, 0, 64, 32]
    erased = resizing.erase(frames, boxes, (1, 2, 3))
    frames[0, 1, 10:20, 4:9] = frames[0, 2] = (1, 2, 3)
    np.testing.assert_array_equal(erased, frames)


def test_it_is_drawn_once_a_clip_unless_asked(config, walkers_tiny):
    config.data.update(name="walkers/tiny", data_dir=str(walkers_tiny))
    config.augment.erase = 1.0
    for per_frame in (False, True):
        config.augment.per_frame = per_frame
        drawn = itertools.islice(files.FilesSource(config).train_clips(), 3)
        boxes = np.concatenate([batch.windows.erased for batch in drawn])
        assert boxes.any(axis=(1, 2)).all()
        assert (boxes == boxes[:, :1]).all() != per_frame
    # It reaches the pixels, and nothing but its boxes changes.
    config.augment.update(per_frame=False, flip=0.0, crop=0.0)
    config.data.update(p=1, k=2)
    source = files.FilesSource(config)
    erased = np.array(next(source.train_batches())["clips"])
    boxes = next(source.train_clips()).windows.erased[:, 0]
    config.augment.erase = 0.0
    sound = next(files.FilesSource(config).train_batches())["clips"]
    for one, other, (top, left, bottom, right) in zip(
        erased, np.asarray(sound), boxes, strict=True
    ):
        assert (one[:, top:bottom, left:right] == (124, 116, 104)).all()
        one[:, top:bottom, left:right] = other[:, top:bottom, left:right]
    np.testing.assert_array_equal(erased, sound)
