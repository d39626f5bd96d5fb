"""Attention from a spatial convolution and a linear layer (paper 1, Tables 4 and 5).

python train.py --config=configs/attn_fc.py --workdir=runs/attn_fc

Paper, on MARS with T=4: mAP 75.8, CMC-1 82.7 with softmax; mAP 76.1, CMC-1 82.8 with
sigmoid (attn_fc.py:norm=sigmoid).
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "attn_fc"
    return variants.apply(config, variant, "norm")
