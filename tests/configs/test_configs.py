"""configs/: values that cannot be, and configs that build."""

import pytest

from configs import base, c3d, c3d_joint, c3d_mars, patterns, rendered, resnet3d50
from reid_jax import config_checks


def test_a_mixture_that_cannot_be():
    config = base.get_config()
    config.data.mixture = ("mars", "mars")
    config.data.mixture_weights = (1.0, 0.0)
    both = r"names one data set twice.*a number from 1e-6 to 1e6 for each"
    with pytest.raises(ValueError, match=both):
        config_checks.check_config(config)
    config.data.mixture = ("mars", "prid2011/all0")
    config.data.mixture_weights = (1.0,)
    with pytest.raises(ValueError, match=r"mixture_weights=\(1\.0,\) must be"):
        config_checks.check_config(config)


def test_one_error_lists_every_bad_field():
    config = base.get_config()
    config_checks.check_config(config)
    config.data.p = 0
    config.train.max_steps = -1
    config.augment.flip = 1.5
    config.eval.metric = "manhattan"
    with pytest.raises(ValueError) as error:
        config_checks.check_config(config)
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
        ("resize", (128, 0), "resize=.* must be .height, width."),
        ("normalization", "caffe", "normalization='caffe'; known: imagenet, kinetics"),
        ("normalization", "c3d_cube", "needs config.data.mean_cube"),
        ("normalization", "c3d_cube", r"data.resize=\(128, 171\), not \(224, 112\)"),
    ],
)
def test_data_fields_that_cannot_be(field, value, message):
    config = base.get_config()
    config.data[field] = value
    with pytest.raises(ValueError, match=message):
        config_checks.check_config(config)


def test_losses_that_cannot_be():
    config = base.get_config()
    config.loss.triplet_weight = config.loss.cross_entropy_weight = 0.0
    config.train.optimizer = "lamb"
    with pytest.raises(ValueError, match="one of the two weights") as error:
        config_checks.check_config(config)
    assert "config.train.optimizer='lamb'; known: adam, sgd" in str(error.value)


def test_losses_and_networks_that_do_not_go_together():
    config = base.get_config()
    config.loss.classifier, config.loss.center_weight = "arcface", 0.1
    config.loss.metric = "triplets"
    with pytest.raises(ValueError, match="cosface and arcface go with 'cos") as error:
        config_checks.check_config(config)
    assert "model.centers=False: a weight above 0 needs" in str(error.value)
    assert "'triplets'; known: triplet, soft_triplet, circle" in str(error.value)
    config.model.update(classifier="cosine", centers=True)
    config.loss.metric = "circle"
    config_checks.check_config(config)
    config.loss.cosine_margin = 28.6  # degrees
    with pytest.raises(ValueError, match=r"cosine_margin=28\.6 is an angle"):
        config_checks.check_config(config)


def test_the_recipe_of_paper_2():
    # Sec. II-A (112x112 of 128x171), II-D (cross-entropy alone), IV-A (the optimizer).
    for module in (c3d, c3d_joint, c3d_mars):
        config = module.get_config()
        train, data = config.train, config.data
        assert (train.optimizer, train.momentum) == ("sgd", 0.9)
        assert (train.weight_decay, train.learning_rate) == (5e-4, 1e-4)
        assert (data.p * data.k, train.max_steps) == (50, 10_000)
        assert (train.decay_factor, config.loss.triplet_weight) == (1.0, 0.0)
        assert (data.resize, config.model.frame_size) == ((128, 171), (112, 112))
        assert (data.normalization, config.augment.crop) == ("c3d", 1.0)


def test_the_recipe_of_resnet3d50():
    config = resnet3d50.get_config()
    assert (config.train.learning_rate, config.model.clip_length) == (1e-4, 4)
    assert config.data.normalization == "kinetics"


@pytest.mark.parametrize(
    "mixture",
    [
        ("walkers/tiny", "walkers/tiny"),
        ("ilids_vid/split0", "ilids_vid"),
        ("ilids_vid/split0", "ilids_vid/split1"),
    ],
)
def test_a_mixture_has_no_person_twice(mixture):
    config = base.get_config()
    config.data.mixture = mixture
    with pytest.raises(ValueError, match="names one data set twice"):
        config_checks.check_config(config)


def test_patterns_are_looked_for_by_networks_of_one_size():
    sizes = {}
    for name in patterns.MODELS:
        config = patterns.get_config(name)
        config_checks.check_config(config)
        sizes[name] = (config.model.backbone.rpartition("net")[2], config.data.name)
    assert set(sizes) == {"avg", "lstm", "3d"}
    assert {depth.removeprefix("3d") for depth, _ in sizes.values()} == {"14_w8"}
    with pytest.raises(ValueError, match="model='gru' is unknown; known: avg, lstm"):
        patterns.get_config("gru")


def test_worlds_of_walkers_can_be_mixed():
    config_checks.check_config(c3d_joint.get_config("walkers"))


def test_the_second_model_of_walkers_has_files_or_none():
    for data, source in (("walkers", "files"), ("street", "render")):
        config = c3d_mars.get_config(data)
        config_checks.check_config(config)
        assert (config.data.source, config.train.max_steps) == (source, 300)


def test_the_recipe_for_unseen_cameras():
    config = rendered.get_config("T=3")
    config_checks.check_config(config)
    assert config.data.source == "render" and config.model.clip_length == 3
    assert config.model.backbone.endswith("_ibn_a") and config.model.neck
    assert config.augment.jitter > 0 and config.augment.erase > 0
