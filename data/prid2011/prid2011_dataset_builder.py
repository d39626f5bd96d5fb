"""PRID 2011: `python -m data.prepare prid2011/seeded0 --source=DIR` (TFDS)."""

import pathlib
from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.prid2011 import index


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits `train`, `query` (camera A), `gallery` (camera B); a config each split."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=f"{kind}{k}", description=description.format(k))
        for kind, description in index.SPLIT_KINDS.items()
        for k in range(index.NUM_SPLITS)
    ]
    SOURCE_LAYOUT = index.LAYOUT
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE_LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(
            self, description="PRID 2011, 200 persons under two cameras of a street."
        )

    def _split_generators(self, dl_manager):
        folder = pathlib.Path(dl_manager.manual_dir)
        splits = index.read_splits(folder, self.builder_config.name)
        return {
            split: self._generate_examples(folder, splits, split) for split in splits
        }

    def _generate_examples(self, folder, splits, split):
        yield from tracklets.read_examples("PRID 2011", folder, splits, split)
