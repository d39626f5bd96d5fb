"""*walkers*: tracklets of rendered people, the embedded default dataset (TFDS)."""

import dataclasses
import io
from typing import ClassVar

import tensorflow_datasets as tfds
from PIL import Image

from data import tracklets
from data.walkers import world

_DESCRIPTION = """\
Rendered people walk past cameras: articulated bodies with their own clothes, build and
gait; cameras with their own view, colours, blur, noise and backdrop; occluders.
Nothing is downloaded. Same seed, same bytes on one platform.
"""


@dataclasses.dataclass(eq=False, kw_only=True)
class WalkersConfig(world.Sizes, tfds.core.BuilderConfig):
    """A world's name and its sizes, which `world.Sizes` documents.

    A config of one's own needs a `name` that is not taken:
    `Builder(config=WalkersConfig(name="two_cameras", num_cameras=2), data_dir=...)`.
    """


class Builder(tfds.core.GeneratorBasedBuilder):
    """Splits `train`, `query` and `gallery`; pids count from 1, train before test."""

    # Changes whenever pixels change, be it by one bit.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "First release: tiny, street_small."}
    BUILDER_CONFIGS: ClassVar = [
        WalkersConfig(
            name="tiny",
            description="12 persons, 3 cameras, 64x32: built in seconds, for tests.",
            **vars(world.SIZES["tiny"]),
        ),
        WalkersConfig(
            name="street_small",
            description="160 persons, 4 cameras, 128x64: for the demonstration.",
            **vars(world.SIZES["street_small"]),
        ),
    ]

    def __init__(self, *, file_format=tracklets.FILE_FORMAT, **kwargs):
        super().__init__(file_format=file_format, **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tracklets.dataset_info(self, description=_DESCRIPTION)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(split)
            for split in ("train", "query", "gallery")
        }

    def _generate_examples(self, split):
        rendered = world.World(self.builder_config)
        entries = [e for e in world.plan(self.builder_config) if e.split == split]
        for entry, frames in rendered.render(entries):
            quality = rendered.quality(entry.camid)
            encoded = [_encode(frame, quality) for frame in frames]
            yield tracklets.example(entry.name, encoded, entry.pid, entry.camid)


def _encode(frame, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(frame).save(out, "JPEG", quality=quality)
    return out.getvalue()
