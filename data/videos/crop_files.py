"""The boxes of tracks, cut out of a video into image files."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from data.sources import image_files
from data.videos import mot

QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Crops:
    """What was written: each track's files in order, a path in the folder each."""

    files: dict[int, list[str]]
    last_frame: int
    """The last frame with a box that the video has, 0 without any."""


def write_crops(
    video_path: str | os.PathLike,
    tracks: dict[int, mot.Track],
    folder: pathlib.Path,
    *,
    may_end: bool = False,
) -> Crops:
    """Writes `<track id>/<frame>.jpg` into `folder`, the frame in six digits.

    Boxes wholly outside the picture have none, nor, with `may_end`, those after the end
    of the video. `mot.cut_boxes` says what is raised.
    """
    files: dict[int, list[str]] = {track_id: [] for track_id in tracks}
    last_frame = 0
    for track_id, frame, crop in mot.cut_boxes(video_path, tracks, may_end=may_end):
        last_frame = frame
        if crop is not None:
            files[track_id].append(f"{track_id}/{frame:06d}.jpg")
            path = folder / files[track_id][-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(path, "JPEG", quality=QUALITY)
    return Crops(files, last_frame)


def warnings(name: str, tracks: dict[int, mot.Track], crops: Crops) -> Iterator[str]:
    """By the lines of the file `name`: boxes without a crop, and gaps in tracks."""
    last = crops.last_frame
    after = [int(np.sum(track.frames > last)) for track in tracks.values()]
    if sum(after):
        yield (
            f"{name}: {sum(after)} boxes of {np.count_nonzero(after)} tracks are left "
            f"out: the video ends before they do, after frame {last} or a little later"
        )
    for track_id, track in tracks.items():
        written = set(crops.files[track_id])
        for line, frame in zip(track.lines, track.frames, strict=True):
            if frame <= last and f"{track_id}/{frame:06d}.jpg" not in written:
                yield (
                    f"{name} line {line}: the box of track {track_id} in frame {frame} "
                    "is outside the picture, left out"
                )
        if not written:
            yield f"{name}: nothing is left of track {track_id}"
        for position in image_files.jumps(track.frames.tolist()):
            before, after = track.frames[position : position + 2]
            yield (
                f"{name} line {track.lines[position + 1]}: track {track_id} goes on "
                f"with frame {after} after {before}"
            )
