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
    config.model.clip_length = 1  # frames of a tracklet are alike: rather more clips
    config.model.frame_size = (96, 48)
    config.model.last_stride = 1
    config.model.neck = True

    config.data.name = "walkers/anywhere"
    config.data.mixture = ("walkers/anywhere", "walkers/street")
    config.data.source = "render"
    config.data.num_persons = 2000  # of each world
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

    config.train.learning_rate = 2e-3  # of the small networks, variants.make_small
    config.train.weight_decay = 0.0  # 5e-4: the classifier of 4,000 does not learn
    config.train.epochs = 28  # of 125 steps
    config.train.warmup_epochs = 1.0
    config.train.decay_every_epochs = 20
    config.train.eval_every_epochs = 28  # at the end: its queries take minutes
    config.train.checkpoint_every_epochs = 2

    config.eval.metric = "cosine"
    config.eval.max_frames = 4  # of each of its 7,000 tracklets, up to 920 long
    values = variants.parse(variant, ("T", *variants.FOR_SCORES))
    return variants.set_fields(config, values)
