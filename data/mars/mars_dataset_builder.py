"""Builder of MARS: `python -m data.prepare mars --source=DIR`."""

import json
import pathlib

import tensorflow_datasets as tfds

from data import tracklets
from data.mars import index


class Builder(tracklets.ImageFilesBuilder):
    """Splits `train`, `query` and `gallery` of MARS; data/mars/index.py reads them."""

    DATASET = "MARS"
    DESCRIPTION = "MARS, tracklets of 1,261 persons under six cameras."
    VERSION = tfds.core.Version("1.0.0")
    PROTOCOLS = ("torchreid", "official")
    MORE_PROTOCOLS = ("no_distractor",)
    MANUAL_DOWNLOAD_INSTRUCTIONS = index.LAYOUT

    def read_splits(self, source, scratch):
        return source, index.read_splits(source)

    def _split_generators(self, dl_manager):
        generators = super()._split_generators(dl_manager)
        labels = index.read_clean_labels(pathlib.Path(dl_manager.manual_dir))
        if labels is not None:  # the file goes beside the splits, which TFDS writes
            path = pathlib.Path(self.data_dir) / tracklets.CLEAN_LABELS
            path.write_text(json.dumps(labels), encoding="utf-8")
        return generators
