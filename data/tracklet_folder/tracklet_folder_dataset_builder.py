"""Builder of your own tracklets: `python -m data.prepare tracklet_folder/NAME …`."""

import tensorflow_datasets as tfds

from data import tracklets
from data.tracklet_folder import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits as in the manifest; a config is a name that the user gives to a folder."""

    DATASET = "tracklet_folder"
    DESCRIPTION = "A folder of tracklets."
    VERSION = tfds.core.Version("1.0.0")
    ANY_CONFIG = True
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source)
