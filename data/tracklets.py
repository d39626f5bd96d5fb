"""The features every dataset of this project has: one example is one tracklet."""

import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from data import checks, image_files

JUNK_PID = -1
"""Neither right nor wrong: taken out of every ranking."""

DISTRACTOR_PID = 0
"""A wrong match for every query: stays in the gallery."""

FILE_FORMAT = "array_record"
"""The one file format of tensorflow-datasets with random access to examples."""


def dataset_info(builder: tfds.core.DatasetBuilder, **info) -> tfds.core.DatasetInfo:
    """`tfds.core.DatasetInfo` of a builder whose examples come from `example`.

    - `frames`: the encoded images in order of time, JPEG or PNG, as published.
      They are not `features.Image`: that cannot be left undecoded in a sequence.
    - `pid`: person id as published; 0 is a distractor, -1 junk.
    - `camid`: camera, counted from 0.
    - `tracklet`: the tracklet's published name, unique in its split.
    """
    features = tfds.features.FeaturesDict(
        {
            "frames": tfds.features.Sequence(tfds.features.Scalar(tf.string)),
            "pid": np.int32,
            "camid": np.int32,
            "tracklet": tfds.features.Text(),
        }
    )
    return builder.dataset_info_from_configs(features=features, **info)


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
