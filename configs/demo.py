"""A small attention model on rendered people, for two CPU cores and a few minutes.

python train.py --config=configs/demo.py --workdir=runs/demo

`make demo` runs this line.
"""

from configs import attn_tconv, variants


def get_config(variant: str = ""):
    config = attn_tconv.get_config("preset=small")
    config.eval.baselines = True
    values = variants.parse(variant, variants.FOR_SCORES)
    return variants.set_fields(config, values)
