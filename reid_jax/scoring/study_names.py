"""The names of the studies and of their sides.

They are apart from `studies`, which loads networks: --help shows them at once.
"""

from reid_jax.input import noise
from reid_jax.scoring import corruptions

FRAMES = "frames"
"""The study that limits the frames of every tracklet."""

NAMES = (FRAMES, *corruptions.CORRUPTIONS)
"""Names of all studies."""

SIDES = {"both": noise.SPLITS, "query": ("query",), "gallery": ("gallery",)}
"""Side → the splits whose tracklets change."""
