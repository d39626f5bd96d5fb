r"""Tests whether networks learn how people walk: twins in the same clothes, or days.

python train.py --config=configs/patterns.py:avg --workdir=runs/twins_avg
python train.py --config=configs/patterns.py:lstm --workdir=runs/twins_lstm \
    --config.init_from=runs/twins_avg
python train.py --config=configs/patterns.py:3d --config.data.name=walkers/days \
    --workdir=runs/days_3d

These are paper 2's "similar clothes" and "different days" (Sec. IV-C) as rendered
worlds. Three networks of as many layers and channels are compared: a 2-D network with
mean pooling, the same with an LSTM over its frames, and a 3-D network. The LSTM starts
from the trained 2-D network: from random weights the triplet loss draws its outputs to
a single point. Each run takes some minutes on two CPU cores. docs/paper2.md has the
results.
"""

from configs import base, variants

MODELS = {
    "avg": ("resnet14_w8", "avg"),
    "lstm": ("resnet14_w8", "lstm"),
    "3d": ("resnet3d14_w8", "none"),
}


def get_config(variant: str = ""):
    values = variants.parse(variant, variants.FOR_SCORES, model=MODELS)
    model = values.pop("model", "avg")
    config = base.get_config()
    config.model.backbone, config.model.temporal = MODELS[model]
    config.model.rnn_dim = 64
    config.model.clip_length = 16  # one step of a person takes 8 to 16 frames
    config.model.frame_size = (64, 32)

    config.data.name = "walkers/twins"

    # RNN train at a third of the rate, as in P1 Sec. 4.2.
    config.train.learning_rate = 2e-3 / 3 if model == "lstm" else 2e-3
    config.train.warmup_epochs = 1.0
    config.train.epochs = 30
    config.train.decay_every_epochs = 20
    config.train.eval_every_epochs = 30
    return variants.set_fields(config, values)
