"""A strong ResNet-50 video baseline by today's standards; not from either paper.

python train.py --config=configs/strong_baseline.py --config.init_from=resnet50.pth

Published baselines like it reach about 81 to 83 mAP on MARS with the official protocol.
That is quoted, not measured here.

It applies Luo et al. 2019 (Bag of Tricks) to clips: larger frames and a larger last
map, BNNeck, label smoothing, random erasing, warm-up, and frames from all parts of the
tracklet. Each of these is a config field that works with every temporal model.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "avg"
    config.model.frame_size = (256, 128)
    config.model.last_stride = 1
    config.model.neck = True

    config.data.sampling = "restricted"
    config.data.p = 16
    config.data.k = 4
    config.augment.erase = 0.5  # one box in each clip

    config.train.learning_rate = 3.5e-4
    config.train.warmup_epochs = 10.0
    config.train.epochs = 120
    config.train.decay_every_epochs = 40

    config.eval.metric = "cosine"
    config.eval.protocol = "official"
    return variants.apply(config, variant, "backbone")
