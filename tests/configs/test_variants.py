"""Variants of configs: what they set, and those that cannot be."""

import pytest

from configs import (
    attn_fc,
    attn_tconv,
    base,
    c3d,
    c3d_joint,
    c3d_mars,
    demo,
    image,
    patterns,
    pool_avg,
    resnet3d50,
    rnn,
    strong_baseline,
    variants,
)
from reid_jax import config_checks


def test_variants_set_their_fields():
    config = rnn.get_config("cell=gru,output=last,dim=1024,T=8")
    model = config.model
    assert (model.temporal, model.rnn_output) == ("gru", "last")
    assert (model.rnn_dim, model.clip_length) == (1024, 8)
    assert attn_fc.get_config("norm=sigmoid").model.attention_norm == "sigmoid"
    assert rnn.get_config("preset=paper") == rnn.get_config()
    scores = pool_avg.get_config("pool=max,metric=xqda,rerank=yes,frames=8,noise=1e-3")
    assert scores.model.temporal == "max"
    assert (scores.eval.metric, scores.eval.rerank) == ("xqda", True)
    assert (scores.eval.max_frames, scores.eval.noise) == (8, 1e-3)
    assert not pool_avg.get_config("rerank=no").eval.rerank
    assert base.get_config("T=8").model.clip_length == 8
    with pytest.raises(ValueError, match="'T=4' is unknown"):
        image.get_config("T=4")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "size=3",
            "'size=3' is unknown; known: cell, output, dim, T, metric, rerank, ",
        ),
        ("norm=softmax", "'norm=softmax' is unknown; known: cell"),
        ("gru", "'gru' is unknown; known: cell"),
        ("cell=avg", "cell='avg' is unknown; known: lstm, gru"),
        ("T=0", "T='0' must be a whole number from 1"),
        ("T=x", "T='x' must be a whole number from 1"),
        ("cell=gru,cell=lstm", "'cell=lstm' is given twice"),
        ("preset=tiny", "preset='tiny' is unknown; known: paper, small"),
        ("noise=-1", "noise='-1' must be in 0..1"),
        ("noise=some", "noise='some' must be in 0..1"),
        ("noise=nan", "noise='nan' must be in 0..1"),
        ("noise=1.5", "noise='1.5' must be in 0..1"),
        ("noise=1_0", "noise='1_0' must be in 0..1"),
    ],
)
def test_variants_that_cannot_be(text, message):
    with pytest.raises(ValueError, match=message):
        rnn.get_config(text)


@pytest.mark.parametrize("module", [c3d, c3d_joint, c3d_mars, demo, patterns])
def test_scores_have_variants_in_every_config(module):
    config = module.get_config("metric=xqda,noise=0.001,frames=8")
    scores = config.eval
    assert (scores.metric, scores.noise, scores.max_frames) == ("xqda", 1e-3, 8)
    with pytest.raises(ValueError, match=r"'T=4' is unknown; known: .*metric, rerank"):
        module.get_config("T=4")


def test_a_config_s_own_variant_needs_no_name():
    named = c3d_mars.get_config("data=street,rerank=yes")
    assert named == c3d_mars.get_config("rerank=yes,street")
    assert named.eval.max_frames == 32 and named.eval.rerank
    assert c3d_mars.get_config("street,frames=8").eval.max_frames == 8
    with pytest.raises(ValueError, match="data='walk' is unknown; known: paper, walk"):
        c3d_mars.get_config("walk")
    with pytest.raises(ValueError, match="'street' is given twice"):
        c3d_mars.get_config("data=walkers,street")


def test_the_small_preset_is_one_recipe():
    small = [
        module.get_config("preset=small")
        for module in (attn_fc, attn_tconv, pool_avg, resnet3d50, rnn)
    ]
    for config in small:
        config_checks.check_config(config)
        assert config.model.frame_size == (64, 32)
        if config.model.temporal == "lstm":
            config.train.learning_rate *= 3
        assert config.train == small[0].train
        assert config.data == small[0].data
    assert rnn.get_config("dim=1024,preset=small").model.rnn_dim == 128
    assert rnn.get_config("preset=small,dim=1024").model.rnn_dim == 128
    assert resnet3d50.get_config("preset=small").model.backbone == "resnet3d14_w8"
    assert demo.get_config().model == attn_tconv.get_config("preset=small").model


def test_names_of_folders():
    assert variants.slug("configs/rnn.py:cell=gru,T=8") == "rnn-cell-gru-T-8"
    assert variants.slug("configs/c3d_joint.py:walkers") == "c3d_joint-walkers"
    assert variants.slug("configs/rnn.py") == "rnn"


def test_the_strong_baseline_has_an_ibn_backbone():
    config = strong_baseline.get_config("backbone=resnet50_ibn_a")
    assert config.model.backbone == "resnet50_ibn_a"
