"""configs/: values that cannot be, and configs that build."""

import pytest

from configs import base


def test_one_error_lists_every_bad_field():
    config = base.get_config()
    base.check_config(config)
    config.data.p = 0
    config.train.max_steps = -1
    config.augment.flip = 1.5
    config.eval.metric = "manhattan"
    with pytest.raises(ValueError) as error:
        base.check_config(config)
    for text in (
        "config.data.p=0 must be above 0",
        "config.train.max_steps=-1 must be above 0",
        "config.augment.flip=1.5 must be in 0..1",
        "config.eval.metric='manhattan'; known: l2, cosine",
    ):
        assert text in str(error.value)
