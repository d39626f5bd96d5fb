"""Trains on rendered people, to find real ones: no files, cameras never seen before.

python train.py --config=configs/rendered.py --workdir=runs/rendered

`make weights` runs it and publishes the result as `weights/rendered`; docs/walkers.md
has its figures. A small ResNet with IBN-a (Pan et al. 2018) and BNNeck (Luo et al.
2019) embeds frames of 96×48 pixels; a tracklet has the mean of its frames. Every
picture is rendered anew, and then changed as another camera would show it: colours,
white balance, grey pictures, erased boxes. It takes about an hour on two idle cores.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.backbone = "resnet14_w16_ibn_a"  # 0.5 million parameters: 2 MB
    config.model.temporal = "avg"
    config.model.clip_length = 1  # a tracklet's frames are alike: more clips instead
    config.model.frame_size = (96, 48)
    config.model.last_stride = 1
    config.model.neck = True

    config.data.name = "walkers/anywhere"
    config.data.mixture = ("walkers/anywhere", "walkers/street")
    config.data.source = "render"
    config.data.num_persons = 2000  # in each of the two worlds
    config.data.p = 32
    config.data.k = 4

    config.augment.jitter = 0.5
    config.augment.brightness = 0.3
    config.augment.contrast = 0.3
    config.augment.saturation = 0.4
    config.augment.hue = 0.03  # colours of clothes tell persons apart
    config.augment.white_balance = 0.15
    config.augment.gamma = 0.3
    config.augment.grayscale = 0.1
    config.augment.erase = 0.3

    config.train.learning_rate = 2e-3  # as variants.make_small
    config.train.weight_decay = 0.0  # every picture is new: little to overfit
    config.train.epochs = 28  # 125 steps each
    config.train.warmup_epochs = 1.0
    config.train.decay_every_epochs = 20
    config.train.eval_every_epochs = 28  # only at the end: queries take minutes
    config.train.checkpoint_every_epochs = 2

    config.eval.metric = "cosine"
    config.eval.max_frames = 4  # of 7,000 tracklets of up to 920 frames
    values = variants.parse(variant, ("T", *variants.FOR_SCORES))
    return variants.set_fields(config, values)
