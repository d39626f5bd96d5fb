"""Trained on rendered people, finds real ones: no files, cameras it has never met.

python train.py --config=configs/rendered.py --workdir=runs/rendered
One to two hours on two cores are planned; a first draft, not measured yet.

A small ResNet with IBN-a (Pan et al. 2018) and BNNeck (Luo et al. 2019) on frames of
128×64, mean pooling. Each clip is rendered anew, and shown as another camera would show
it: colours, white balance, exposure up to clipping, grey pictures, blur, erased boxes.
Its score is on rendered people; real footage is for `Run.embed` and reid_jax.footage.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.backbone = "resnet14_w16_ibn_a"  # 0.5 million parameters: 2 MB
    config.model.temporal = "avg"
    config.model.clip_length = 2  # frames of a tracklet are alike: rather more clips
    config.model.frame_size = (128, 64)
    config.model.last_stride = 1
    config.model.neck = True

    config.data.name = "walkers/street"
    config.data.source = "render"
    config.data.num_persons = 1600  # the world's files have 625
    config.data.p = 16
    config.data.k = 4

    config.augment.jitter = 0.8  # MoCo v2's, as are the ranges of base.py
    config.augment.saturation = 0.6
    config.augment.hue = 0.05  # less than MoCo v2's: colours of clothes tell persons
    config.augment.white_balance = 0.3
    config.augment.gamma = 0.5
    config.augment.autocontrast = 0.2
    config.augment.grayscale = 0.2
    config.augment.blur = 0.3
    config.augment.blur_sigma = 1.5
    config.augment.erase = 0.5

    config.train.learning_rate = 2e-3  # of the small networks, variants.make_small
    config.train.epochs = 12  # of 100 steps
    config.train.warmup_epochs = 1.0
    config.train.decay_every_epochs = 5
    config.train.eval_every_epochs = 12  # at the end: its queries take minutes
    config.train.checkpoint_every_epochs = 1

    config.eval.metric = "cosine"
    config.eval.max_frames = 4  # of each of its 7,000 tracklets, up to 920 long
    values = variants.parse(variant, ("T", *variants.FOR_SCORES))
    return variants.set_fields(config, values)
