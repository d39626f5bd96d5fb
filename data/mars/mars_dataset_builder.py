"""MARS for tensorflow-datasets: `python -m data.prepare mars --source=DIR`."""

import pathlib

import tensorflow_datasets as tfds

from data import tracklets
from data.mars import checks, index


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits `train`, `query`, `gallery` of MARS; `data/mars/index.py` says which."""

    VERSION = tfds.core.Version("1.0.0")
    PROTOCOLS = ("torchreid", "official")
    SOURCE_LAYOUT = index.LAYOUT
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE_LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(
            self,
            description="MARS, tracklets of 1,261 persons under six cameras.",
        )

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.manual_dir)
        splits = index.read_splits(folder)
        return {name: self._generate_examples(folder, splits, name) for name in splits}

    def _generate_examples(self, folder, splits, name):
        for tracklet in splits[name]:
            frames = [(folder / image).read_bytes() for image in tracklet.images]
            if any(checks.damage(frame) for frame in frames):
                index.check_images(folder, splits)  # raises, with all there are
            yield tracklets.example(tracklet.name, frames, tracklet.pid, tracklet.camid)
