r"""ResNet3D-50 over the whole clip (paper 1, Table 1: T=4 and T=8).

python train.py --config=configs/resnet3d50.py \
    --config.init_from=resnet-50-kinetics.pth

Paper, on MARS: mAP 70.5, CMC-1 78.5 with T=4; mAP 69.1, CMC-1 78.8 with T=8
(resnet3d50.py:T=8).
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.backbone = "resnet3d50"
    config.model.temporal = "none"
    # Differs: the published code normalises as for ImageNet. These weights were trained
    # with the normalisation of Kinetics.
    config.data.normalization = "kinetics"
    config.train.learning_rate = 1e-4  # P1 Sec. 4.2: the rate of 3-D CNNs
    return variants.apply(config, variant)
