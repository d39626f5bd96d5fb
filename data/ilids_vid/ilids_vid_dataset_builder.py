"""i-LIDS-VID: `python -m data.prepare ilids_vid/split0 --source=DIR` (TFDS)."""

import pathlib
from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.ilids_vid import index


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits `train`, `query` (camera 1), `gallery` (camera 2); a config each split."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=f"split{k}", description=f"Published split {k}.")
        for k in range(index.NUM_SPLITS)
    ]
    SOURCE_LAYOUT = index.LAYOUT
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE_LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(
            self, description="i-LIDS-VID, 300 persons under two cameras of an airport."
        )

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.manual_dir)
        number = int(self.builder_config.name.removeprefix("split"))
        splits = index.read_splits(folder, number)
        return {
            split: self._generate_examples(folder, splits, split) for split in splits
        }

    def _generate_examples(self, folder, splits, split):
        yield from tracklets.read_examples("i-LIDS-VID", folder, splits, split)
