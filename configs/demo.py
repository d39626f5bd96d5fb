"""A small attention model on rendered people, for two CPU cores and a few minutes.

python train.py --config=configs/demo.py --workdir=runs/demo   (make demo)
"""

from configs import attn_tconv


def get_config():
    config = attn_tconv.get_config("preset=small")
    config.eval.baselines = True
    return config
