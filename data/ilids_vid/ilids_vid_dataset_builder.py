"""Builder of i-LIDS-VID: `python -m data.prepare ilids_vid/split0 --source=DIR`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.ilids_vid import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query` (camera 1) and `gallery` (camera 2).

    Each of the ten published splits is a config, split0 to split9.
    """

    DATASET = "i-LIDS-VID"
    DESCRIPTION = "i-LIDS-VID, 300 persons under two cameras of an airport."
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=f"split{k}", description=f"Published split {k}.")
        for k in range(index.NUM_SPLITS)
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        number = int(self.builder_config.name.removeprefix("split"))
        return source, index.read_splits(source, number)
