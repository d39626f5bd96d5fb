"""MARS for tensorflow-datasets: `python -m data.prepare mars --source=DIR`."""

import tensorflow_datasets as tfds

from data import tracklets
from data.mars import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query`, `gallery` of MARS; `data/mars/index.py` says which."""

    DATASET = "MARS"
    DESCRIPTION = "MARS, tracklets of 1,261 persons under six cameras."
    VERSION = tfds.core.Version("1.0.0")
    PROTOCOLS = ("torchreid", "official")
    MORE_PROTOCOLS = ("no_distractor",)
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source)
