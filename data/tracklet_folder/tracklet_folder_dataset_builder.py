"""Your own tracklets: `python -m data.prepare tracklet_folder/NAME --source=DIR`."""

import pathlib

import tensorflow_datasets as tfds

from data import tracklets
from data.tracklet_folder import index


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits as the manifest says; a config is the name the user gives to a folder."""

    VERSION = tfds.core.Version("1.0.0")
    ANY_CONFIG = True
    SOURCE_LAYOUT = index.LAYOUT
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE_LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(self, description="A folder of tracklets.")

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.manual_dir)
        splits = index.read_splits(folder)
        return {
            split: self._generate_examples(folder, splits, split) for split in splits
        }

    def _generate_examples(self, folder, splits, split):
        yield from tracklets.read_examples("tracklet_folder", folder, splits, split)
