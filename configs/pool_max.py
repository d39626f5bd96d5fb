"""Temporal max pooling (paper 1, Table 2, T=8).

python train.py --config=configs/pool_max.py --workdir=runs/pool_max

Paper, on MARS: mAP 74.5, CMC-1 83.1.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "max"
    config.model.clip_length = 8
    return variants.apply(config, variant, "pool")
