"""Do networks learn how people walk? Twins in the same clothes, days in other ones.

python train.py --config=configs/patterns.py:avg --workdir=runs/twins_avg
python train.py --config=configs/patterns.py:lstm --workdir=runs/twins_lstm \
    --config.init_from=runs/twins_avg
python train.py --config=configs/patterns.py:3d --config.data.name=walkers/days \
    --workdir=runs/days_3d

Paper 2's "similar clothes" and "different days" (Sec. IV-C) as rendered worlds, by the
2-D network with mean pooling, an LSTM over its frames, and a 3-D network of as many
layers and channels. The LSTM starts from the trained 2-D network: from nothing the
triplet loss draws its outputs to a point. Some minutes for two CPU cores each.
docs/paper2.md has the results.
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
    config.model.clip_length = 16  # a step takes 8 to 16 frames
    config.model.frame_size = (64, 32)

    config.data.name = "walkers/twins"

    # P1 Sec. 4.2: a third of it for RNN.
    config.train.learning_rate = 2e-3 / 3 if model == "lstm" else 2e-3
    config.train.warmup_epochs = 1.0
    config.train.epochs = 30
    config.train.decay_every_epochs = 20
    config.train.eval_every_epochs = 30
    return variants.set_fields(config, values)
