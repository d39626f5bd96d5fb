"""Image baseline: clips of one frame, no temporal model (paper 1, Table 3, T=1).

python train.py --config=configs/image.py --workdir=runs/image
Paper, MARS: mAP 74.1, CMC-1 81.3.
"""

from configs import base


def get_config():
    config = base.get_config()
    config.model.temporal = "none"
    config.model.clip_length = 1
    return config
