"""The strong baseline on LS-VID (Li et al. 2019); not from either paper.

python train.py --config=configs/ls_vid.py --config.init_from=resnet50.pth

The protocol `official` ranks all test tracklets, as LS-VID's authors and most papers
do. The score table also has `torchreid`, which takes the queries out of the gallery.
"""

from configs import strong_baseline, variants


def get_config(variant: str = ""):
    config = strong_baseline.get_config()
    config.data.name = "ls_vid"
    return variants.apply(config, variant)
