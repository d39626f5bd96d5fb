"""configs/: values that cannot be, and configs that build."""

import pytest

from configs import base


def test_a_mixture_that_cannot_be():
    config = base.get_config()
    config.data.mixture = ("mars", "mars")
    config.data.mixture_weights = (1.0, 0.0)
    with pytest.raises(ValueError, match=r"names one twice.*a number above 0 for each"):
        base.check_config(config)
    config.data.mixture = ("mars", "prid2011/all0")
    config.data.mixture_weights = (1.0,)
    with pytest.raises(ValueError, match=r"mixture_weights=\(1\.0,\) must be"):
        base.check_config(config)


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
        "config.train.max_steps=-1 must not be below 0",
        "config.augment.flip=1.5 must be in 0..1",
        "config.eval.metric='manhattan'; known, one or several with commas: l2, cosine",
    ):
        assert text in str(error.value)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "resize",
            (128, 100),
            r"resize=\(128, 100\) must be .*frame_size=\(224, 112\)",
        ),
        ("resize", (1, 2, 3), "resize=.* must be .height, width."),
        ("normalization", "caffe", "normalization='caffe'; known: imagenet, kinetics"),
        ("normalization", "c3d_cube", "needs config.data.mean_cube"),
        ("normalization", "c3d_cube", r"data.resize=\(128, 171\), not \(224, 112\)"),
    ],
)
def test_data_fields_that_cannot_be(field, value, message):
    config = base.get_config()
    config.data[field] = value
    with pytest.raises(ValueError, match=message):
        base.check_config(config)


def test_losses_that_cannot_be():
    config = base.get_config()
    config.loss.triplet_weight = config.loss.cross_entropy_weight = 0.0
    config.train.optimizer = "lamb"
    with pytest.raises(ValueError, match="one of the two weights") as error:
        base.check_config(config)
    assert "config.train.optimizer='lamb'; known: adam, sgd" in str(error.value)
