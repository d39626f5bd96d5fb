"""Paper 2, first model: C3D trained on half of the persons of three datasets.

python train.py --config=configs/c3d_joint.py --config.init_from=c3d.pickle
python train.py --config=configs/c3d_joint.py:walkers --workdir=runs/c3d_joint0

The second line trains a small stand-in on rendered people, for two CPU cores and
without weights to start from. C3D has no normalization layers and stayed at chance
there, so the stand-in is a 3-D ResNet with Adam on smaller frames. docs/paper2.md has
the results of both.
"""

from configs import c3d, variants

DATA = {
    "paper": ("prid2011/all0", "ilids_vid/split0", "p_destre/seeded0"),
    "walkers": ("walkers/outdoor", "walkers/hall", "walkers/aerial"),
}


def get_config(variant: str = ""):
    values = variants.parse(variant, variants.FOR_SCORES, data=DATA)
    data = values.pop("data", "paper")
    config = c3d.get_config()
    config.data.mixture = DATA[data]  # Sec. IV-A; the run scores all three at its end
    config.data.name = DATA[data][0]
    if data == "walkers":
        make_small(config)
    return variants.set_fields(config, values)


def make_small(config) -> None:
    """Shrinks a C3D config to what two CPU cores train from scratch in minutes."""
    config.model.backbone = "resnet3d14_w8"
    config.model.frame_size = (64, 32)
    config.data.resize = (72, 36)
    config.data.normalization = "imagenet"
    config.data.p = 16
    config.augment.flip = 0.5
    config.train.optimizer = "adam"
    config.train.learning_rate = 2e-3
    config.train.warmup_epochs = 1.0
    config.train.max_steps = 600
    config.train.epochs = 600
