"""reid_jax/input/device_frames.py: batches as from the disk, and too little memory."""

import itertools

import numpy as np
import pytest

from reid_jax.input import device_frames, frame_cache
from tests import hand_made


def test_training_sees_the_same_wherever_frames_wait(tmp_path, tiny_config):
    tiny_config.augment.update(per_frame=True, erase=0.5)
    split = frame_cache.join(hand_made.of_many_sizes(tmp_path))
    batches_of = {}
    for cache in ("disk", "device"):
        tiny_config.data.cache = cache
        batches = hand_made.source(split, tiny_config).train_batches()
        batches_of[cache] = list(itertools.islice(batches, 6))
    for one, other in zip(*batches_of.values(), strict=True):
        np.testing.assert_array_equal(one["clips"], other["clips"])
        np.testing.assert_array_equal(one["labels"], other["labels"])


def test_frames_that_do_not_fit_on_the_device():
    class Small:
        def __str__(self):
            return "TPU 0"

        def memory_stats(self):
            return {"bytes_limit": 90_000, "bytes_in_use": 20_000}

    shape = (35, 40, 20, 3)
    with pytest.raises(ValueError, match=r"35 frames of 40×20.*TPU 0.*cache='disk'"):
        device_frames._check_room(shape, [Small()])
    device_frames._check_room((23, *shape[1:]), [Small()])
