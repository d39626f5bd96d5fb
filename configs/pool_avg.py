"""Temporal average pooling (paper 1, Table 3, T=4).

python train.py --config=configs/pool_avg.py --workdir=runs/pool_avg

Paper, on MARS: mAP 76.5, CMC-1 83.5.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "avg"
    return variants.apply(config, variant, "pool")
