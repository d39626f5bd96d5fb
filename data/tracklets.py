"""The features every dataset of this project has: one example is one tracklet."""

import abc
import pathlib
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data.sources import checks, image_files

JUNK_PID = -1
"""Neither right nor wrong: taken out of every ranking."""

DISTRACTOR_PID = 0
"""A wrong match for every query: stays in the gallery."""

CLEAN_LABELS = "clean_labels.json"
"""A prepared dataset's file of cleaned labels, where its source has them.

For each tracklet of query and gallery by its name: pid, and a second id or below 1.
"""

FILE_FORMAT = "array_record"
"""The one file format of tensorflow-datasets with random access to examples."""


class TrackletBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """Base of all builders. Splits are `train`, `query`, `gallery`; of a tracklet:

    - `frames`: the encoded images in order of time, JPEG or PNG, as published.
      They are not `features.Image`: that cannot be left undecoded in a sequence.
    - `pid`: person id as published; 0 is a distractor, -1 junk.
    - `camid`: camera, counted from 0.
    - `tracklet`: the tracklet's published name, unique in its split.

    A builder with `MANUAL_DOWNLOAD_INSTRUCTIONS` needs a source, of which they say what
    it holds; one without is rendered at first use.
    """

    DESCRIPTION: ClassVar[str]

    PROTOCOLS: ClassVar[tuple[str, ...]] = ("standard",)
    """Evaluation protocols; the gallery of one named "official" has the queries too."""

    MORE_PROTOCOLS: ClassVar[tuple[str, ...]] = ()
    """Protocols that are scored where `config.eval.protocol` names them."""

    ANY_CONFIG: ClassVar[bool] = False
    """Whether users name the configs."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "frames": tfds.features.Sequence(tfds.features.Scalar(tf.string)),
                "pid": np.int32,
                "camid": np.int32,
                "tracklet": tfds.features.Text(),
            }
        )
        return self.dataset_info_from_configs(
            features=features, description=self.DESCRIPTION
        )


class ImageFilesBuilder(TrackletBuilder, skip_registration=True):
    """Base of the builders whose tracklets are image files."""

    DATASET: ClassVar[str]
    """What errors call it."""

    @abc.abstractmethod
    def read_splits(
        self, source: pathlib.Path, scratch: pathlib.Path
    ) -> tuple[pathlib.Path, image_files.Splits]:
        """The folder that holds the images, and the tracklets of each split.

        `scratch`, which is not there yet, may be made and used: it goes afterwards.
        Raises `checks.SourceError` with everything wrong.
        """

    def _split_generators(self, dl_manager):
        source = pathlib.Path(dl_manager.manual_dir)
        scratch = pathlib.Path(dl_manager.download_dir) / "scratch"
        folder, splits = self.read_splits(source, scratch)
        return {
            split: self._generate_examples(folder, splits, split) for split in splits
        }

    def _generate_examples(self, folder, splits, split):
        yield from read_examples(self.DATASET, folder, splits, split)


def example(name: str, frames: list[bytes], pid: int, camid: int) -> tuple[str, dict]:
    """Key and example of one tracklet, as `_generate_examples` yields them."""
    return name, {"frames": frames, "pid": pid, "camid": camid, "tracklet": name}


def read_examples(
    dataset: str, folder: pathlib.Path, splits: image_files.Splits, split: str
) -> Iterator[tuple[str, dict]]:
    """The examples of one of the splits of a source of image files.

    Raises `checks.SourceError` at the first damaged image, with all of all splits.
    """
    for tracklet in splits[split]:
        frames = [(folder / image).read_bytes() for image in tracklet.images]
        if any(checks.damage(frame) for frame in frames):
            image_files.check_images(dataset, folder, splits)
        yield example(tracklet.name, frames, tracklet.pid, tracklet.camid)
