"""Builder of LS-VID: `python -m data.prepare ls_vid --source=DIR`."""

import tensorflow_datasets as tfds

from data import tracklets
from data.ls_vid import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query` and `gallery` of LS-VID; data/ls_vid/index.py reads them.

    The protocol "official" ranks all test tracklets, the queries too, as the authors'
    script does. "torchreid" takes the queries out of the gallery, as torchreid does
    with MARS.
    """

    DATASET = "LS-VID"
    DESCRIPTION = "LS-VID, tracklets of 3,772 persons under 15 cameras."
    VERSION = tfds.core.Version("1.0.0")
    PROTOCOLS = ("torchreid", "official")
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source)
