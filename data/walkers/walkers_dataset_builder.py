"""Builder of *walkers*: tracklets of rendered people, without any source."""

import dataclasses
from typing import ClassVar

import tensorflow_datasets as tfds

from data import tracklets
from data.walkers import plan, world
from data.walkers.sizes import SIZES, Sizes


@dataclasses.dataclass(eq=False, kw_only=True)
class WalkersConfig(tfds.core.BuilderConfig):
    """A world's name and its sizes.

    Another config needs a new `name`: `Builder(config=WalkersConfig(name="pair",
    sizes=Sizes(num_cameras=2)))`.
    """

    sizes: Sizes = dataclasses.field(default_factory=Sizes)


_DESCRIPTIONS = {
    "tiny": "12 persons, 3 cameras, 64x32: built in seconds, for tests.",
    "street_small": "200 persons, 4 cameras, 128x64: for the demonstration.",
    "street": "1,250 persons, 6 cameras, 256x128: MARS's lengths, distractors, junk.",
    "outdoor": "178 persons, 2 cameras, little occlusion: like PRID-2011.",
    "hall": "300 persons in dark clothes, 2 cameras, crowded: like iLIDS-VID.",
    "aerial": "160 persons seen from 25 to 80 degrees above, at changing scale.",
    "twins": "Groups of four in the same clothes and build who differ by gait.",
    "days": "The gallery shows persons on another day in other clothes.",
    "anywhere": "2,200 varied persons, 24 hard cameras: to train for any footage.",
}


class Builder(tracklets.TrackletBuilder):
    """Splits `train`, `query` and `gallery`; pids count from 1, train before test."""

    DESCRIPTION = (
        "Rendered people walk past cameras: articulated bodies with their own clothes, "
        "build and gait; cameras with their own view, colours, blur, noise and "
        "backdrop; occluders. Nothing is downloaded. Same seed, same bytes on one "
        "platform."
    )
    VERSION = tfds.core.Version(world.VERSION)
    RELEASE_NOTES: ClassVar = {
        "2.3.1": "Painted in tiles: 2.3.0 up to rounding.",
        "2.3.0": "anywhere: 24 cameras, fewer of them very dark or coloured.",
        "2.2.0": "street_small: colours before an even ground. Coats cover legs.",
        "2.1.0": "Boxes as wide as a person seen from above.",
        "2.0.0": "Another world: new bodies, cameras, streets; six more configs.",
        "1.0.0": "First release: tiny, street_small.",
    }
    BUILDER_CONFIGS: ClassVar = [
        WalkersConfig(name=name, description=text, sizes=SIZES[name])
        for name, text in _DESCRIPTIONS.items()
    ]

    def __init__(self, *, file_format=tracklets.FILE_FORMAT, **kwargs):
        super().__init__(file_format=file_format, **kwargs)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(split)
            for split in ("train", "query", "gallery")
        }

    def _generate_examples(self, split):
        sizes = self.builder_config.sizes
        rendered = world.World(sizes)
        entries = [e for e in plan.plan(sizes) if e.split == split]
        for entry, frames in rendered.render(entries):
            encoded = [rendered.jpeg(entry.camid, frame) for frame in frames]
            yield tracklets.example(entry.name, encoded, entry.pid, entry.camid)
