"""Builder of image sets: `python -m data.prepare image_folder/NAME --source=DIR`."""

import tensorflow_datasets as tfds

from data import tracklets
from data.image_folder import index


class Builder(tracklets.ImageFilesBuilder):
    """Pictures named as in Market-1501, each a tracklet of one frame.

    A config is a name that the user gives to a folder.
    """

    DATASET = "image_folder"
    DESCRIPTION = "Pictures of persons, each a tracklet of one frame."
    VERSION = tfds.core.Version("1.0.0")
    ANY_CONFIG = True
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source)
