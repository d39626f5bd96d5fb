"""Attention from a spatial and a temporal convolution (paper 1, Tables 5 and 10).

python train.py --config=configs/attn_tconv.py --workdir=runs/attn_tconv

Paper, on MARS with T=4 and softmax: mAP 76.7, CMC-1 83.3. It is the paper's best model.
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "attn_tconv"
    return variants.apply(config, variant, "norm")
