"""Writes a split of many tracklets, from copies of a few."""

import pathlib
from collections.abc import Iterator, Sequence

from data.walkers.plan import Entry
from reid_jax.input import frame_cache


def open_split(
    folder: pathlib.Path,
    split: str,
    tracklets: Sequence[tuple[Entry, list[bytes]]],
    num_persons: int,
    num_copies: int,
) -> frame_cache.Split:
    """Opens a split of `num_copies` copies of the tracklets.

    Each copy shows other persons: `num_persons` is added to the person ids.
    """

    def examples() -> Iterator[dict]:
        for copy in range(num_copies):
            for entry, frames in tracklets:
                yield {
                    "frames": frames,
                    "pid": entry.pid + copy * num_persons,
                    "camid": entry.camid,
                    "tracklet": f"{copy}-{entry.name}",
                }

    return frame_cache.open_split(folder, split, examples)
