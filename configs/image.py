r"""Image baseline: clips of one frame, no temporal model (paper 1, Table 3, T=1).

python train.py --config=configs/image.py --workdir=runs/image

Paper, on MARS: mAP 74.1, CMC-1 81.3.

It also trains on single pictures in Market-1501's layout; --config.init_from then
takes the weights for a video model:

python train.py --config=configs/image.py --config.data.name=image_folder/market \
    --workdir=runs/market
"""

from configs import base, variants


def get_config(variant: str = ""):
    config = base.get_config()
    config.model.temporal = "none"
    config.model.clip_length = 1
    names = (*variants.FOR_SCORES, "preset")  # without "T", which is 1
    return variants.set_fields(config, variants.parse(variant, names))
