"""Features of all datasets of this project: an example is a tracklet."""

import abc
import pathlib
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from data.sources import checks, image_files

JUNK_PID = -1
"""Person id of junk: neither right nor wrong, taken out of every ranking."""

DISTRACTOR_PID = 0
"""Person id of distractors: in the gallery, and wrong for every query."""

CLEAN_LABELS = "clean_labels.json"
"""File of cleaned labels in a prepared dataset whose source has them.

It maps the name of each query and gallery tracklet to its pid and a second id, which is
below 1 where there is none.
"""

FILE_FORMAT = "array_record"
"""The only format of tensorflow-datasets with random access to examples."""


class TrackletBuilder(tfds.core.GeneratorBasedBuilder, abc.ABC, skip_registration=True):
    """Base of all builders, with the splits `train`, `query` and `gallery`.

    An example is a tracklet with these features:

    - `frames`: the encoded images in order of time, JPEG or PNG, as published. They are
      no `features.Image`, which cannot stay encoded in a sequence.
    - `pid`: person id as published; 0 is a distractor, -1 junk.
    - `camid`: camera id, from 0.
    - `tracklet`: the tracklet's published name, unique in its split.

    A builder with `MANUAL_DOWNLOAD_INSTRUCTIONS` needs a source; they say what it
    holds. A builder without them renders its dataset at first use.
    """

    DESCRIPTION: ClassVar[str]

    PROTOCOLS: ClassVar[tuple[str, ...]] = ("standard",)
    """Evaluation protocols. With "official" the gallery has the queries, too."""

    MORE_PROTOCOLS: ClassVar[tuple[str, ...]] = ()
    """Protocols that are scored only if `config.eval.protocol` names them."""

    ANY_CONFIG: ClassVar[bool] = False
    """Whether users choose the names of the configs."""

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "frames": tfds.features.Sequence(tfds.features.Scalar(np.object_)),
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
    """Name of the dataset in errors."""

    @abc.abstractmethod
    def read_splits(
        self, source: pathlib.Path, scratch: pathlib.Path
    ) -> tuple[pathlib.Path, image_files.Splits]:
        """Reads the tracklets of a source.

        Args:
            source: Folder of the published dataset.
            scratch: Folder that may be created and filled; it is deleted after the
                build.

        Returns:
            The folder that holds the images, and the tracklets of each split.

        Raises:
            SourceError: lists everything that is wrong.
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
    """Key and example of a tracklet, as `_generate_examples` yields them."""
    return name, {"frames": frames, "pid": pid, "camid": camid, "tracklet": name}


def read_examples(
    dataset: str, folder: pathlib.Path, splits: image_files.Splits, split: str
) -> Iterator[tuple[str, dict]]:
    """Yields the examples of a split whose tracklets are image files.

    Raises:
        SourceError: at the first damaged image; lists all damaged ones of all splits.
    """
    for tracklet in splits[split]:
        frames = [(folder / image).read_bytes() for image in tracklet.images]
        if any(checks.damage(frame) for frame in frames):
            image_files.check_images(dataset, folder, splits)
        yield example(tracklet.name, frames, tracklet.pid, tracklet.camid)
