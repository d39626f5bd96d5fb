"""Builder of PRID 2011: `python -m data.prepare prid2011/seeded0 --source=DIR`."""

from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.prid2011 import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query` (camera A) and `gallery` (camera B).

    Each of the splits in `index.SPLIT_KINDS`, with a number from 0 to 9, is a config.
    """

    DATASET = "PRID 2011"
    DESCRIPTION = "PRID 2011, 200 persons under two cameras of a street."
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        tfds.core.BuilderConfig(name=f"{kind}{k}", description=description.format(k))
        for kind, description in index.SPLIT_KINDS.items()
        for k in range(index.NUM_SPLITS)
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source, self.builder_config.name)
