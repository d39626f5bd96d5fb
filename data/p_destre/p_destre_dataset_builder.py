"""P-DESTRE: `python -m data.prepare p_destre/seeded0 --source=DIR` (TFDS)."""

import pathlib
from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.p_destre import index


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits `train`, `query`, `gallery`; `data/p_destre/index.py` says which."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        *(
            tfds.core.BuilderConfig(
                name=f"seeded{k}", description=f"Our own split {k}."
            )
            for k in range(index.NUM_SEEDED)
        ),
        *(
            tfds.core.BuilderConfig(
                name=f"split{k}", description=f"Published split {k}."
            )
            for k in range(index.NUM_SPLITS)
        ),
    ]
    SOURCE_LAYOUT = index.LAYOUT
    MANUAL_DOWNLOAD_INSTRUCTIONS = SOURCE_LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(
            self, description="P-DESTRE, persons cut out of the videos of a UAV."
        )

    def _split_generators(self, dl_manager):
        # `prepare.build` makes this folder and removes it.
        crops = pathlib.Path(dl_manager.download_dir) / "crops"
        config = self.builder_config.name
        splits = index.cut_splits(pathlib.Path(dl_manager.manual_dir), config, crops)
        return {
            split: self._generate_examples(crops, splits, split) for split in splits
        }

    def _generate_examples(self, crops, splits, split):
        yield from tracklets.read_examples("P-DESTRE", crops, splits, split)
