"""Paper 2, second model: the first one fine-tuned on MARS.

python train.py --config=configs/c3d_mars.py --config.init_from=runs/c3d_joint
python train.py --config=configs/c3d_mars.py:walkers --workdir=runs/c3d_street \
    --config.init_from=runs/c3d_joint0

The second line trains the small stand-in that c3d_joint.py describes. With `:street`
instead of `:walkers` the dataset has as many persons, cameras and distractors as MARS:
700,000 frames, rendered while the run trains. Only the first 32 frames of a tracklet
are scored.
"""

from configs import c3d, c3d_joint, variants

DATA = {
    "paper": "mars",
    "walkers": "walkers/street_small",
    "street": "walkers/street",
}


def get_config(variant: str = ""):
    values = variants.parse(variant, variants.FOR_SCORES, data=DATA)
    data = values.pop("data", "paper")
    config = c3d.get_config()
    config.data.name = DATA[data]  # Sec. IV-A
    if data != "paper":
        c3d_joint.make_small(config)
        config.train.max_steps = 300
    if data == "street":
        config.data.source = "render"
        config.data.resize = None
        config.eval.max_frames = 32
    return variants.set_fields(config, values)
