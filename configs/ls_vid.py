"""The strong baseline on LS-VID (Li et al. 2019): not of either paper.

python train.py --config=configs/ls_vid.py --config.init_from=resnet50.pth
`official` ranks all test tracklets, as LS-VID's authors and most papers do; scores
without the queries in the gallery (`torchreid`) are in the same table.
"""

from configs import strong_baseline, variants


def get_config(variant: str = ""):
    config = strong_baseline.get_config()
    config.data.name = "ls_vid"
    return variants.apply(config, variant)
