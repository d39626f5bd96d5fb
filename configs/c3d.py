"""C3D, fine-tuned from Sports-1M with cross-entropy alone (paper 2, Sec. II and IV-A).

python train.py --config=configs/c3d.py --config.init_from=c3d.pickle
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.backbone = "c3d"
    config.model.temporal = "none"
    config.model.clip_length = 16  # as the original network (Tran et al. 2015)
    config.model.frame_size = (112, 112)  # Sec. II-A

    config.data.resize = (128, 171)  # Sec. II-A
    config.data.normalization = "c3d"
    # 50 clips in a batch (Sec. IV-A). The paper does not say how they are drawn; here
    # they are two clips of each of 25 persons.
    config.data.p = 25
    config.data.k = 2
    config.augment.crop = 1.0  # Sec. II-A; the paper does not flip
    config.augment.flip = 0.0

    config.loss.triplet_weight = 0.0  # Sec. II-D
    config.loss.label_smoothing = 0.0

    config.train.optimizer = "sgd"  # Sec. IV-A, as the values below
    config.train.momentum = 0.9
    config.train.weight_decay = 5e-4
    config.train.learning_rate = 1e-4
    config.train.decay_factor = 1.0
    config.train.max_steps = 10_000
    config.train.epochs = 10_000  # never reached: max_steps ends the run
    config.train.eval_every_epochs = 100
    config.train.checkpoint_every_epochs = 20
    values = variants.parse(variant, variants.FOR_SCORES)
    return variants.set_fields(config, values)
