"""Builder of P-DESTRE: `python -m data.prepare p_destre/seeded0 --source=DIR`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.p_destre import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query` and `gallery`; data/p_destre/index.py reads them."""

    DATASET = "P-DESTRE"
    DESCRIPTION = "P-DESTRE, persons cut out of the videos of a UAV."
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
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        splits = index.cut_splits(source, self.builder_config.name, scratch)
        return scratch, splits
