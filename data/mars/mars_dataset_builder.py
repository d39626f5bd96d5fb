"""MARS for tensorflow-datasets: `python -m data.prepare mars --source=DIR`."""

import pathlib

import tensorflow_datasets as tfds

from data import tracklets
from data.mars import index


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
        return {
            split: self._generate_examples(folder, splits, split) for split in splits
        }

    def _generate_examples(self, folder, splits, split):
        yield from tracklets.read_examples("MARS", folder, splits, split)
