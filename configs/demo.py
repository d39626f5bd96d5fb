"""A small attention model on rendered people, for two CPU cores and a few minutes.

python train.py --config=configs/demo.py --workdir=runs/demo   (make demo)
"""

from configs import base


def get_config():
    config = base.get_config()
    config.model.backbone = "resnet14_w16"
    config.model.temporal = "attn_tconv"
    config.model.attention_dim = 32
    # With the published code's ReLUs every score of so small a network soon is 0 and
    # stays there: all frames weigh the same. These are the paper's plain equations.
    config.model.attention_relu = False
    config.model.frame_size = (64, 32)

    config.data.name = "walkers/street_small"
    config.data.p = 16

    config.train.learning_rate = 2e-3
    config.train.epochs = 46
    config.train.decay_every_epochs = 18
    config.train.warmup_epochs = 2.0
    config.train.eval_every_epochs = 23
    config.train.checkpoint_every_epochs = 10
    config.eval.baselines = True
    return config
