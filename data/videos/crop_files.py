"""The boxes of tracks, cut out of a video into image files."""

import dataclasses
import os
import pathlib

from PIL import Image

from data.sources import image_files
from data.videos import cutting, mot

QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Crops:
    """What was written: each track's files in order, a path in the folder each."""

    files: dict[int, list[str]]
    warnings: list[str]
    """Boxes without a crop, tracks without any, and gaps in tracks."""


def write_crops(
    video: str | os.PathLike,
    tracks: dict[int, mot.Track],
    folder: pathlib.Path,
    *,
    first_frame: int | None = None,
) -> Crops:
    """Writes `<track id>/<frame>.jpg` into `folder`, the frame in six digits.

    `cutting.cut_boxes` says what `first_frame` is for, and what is raised.
    """
    files: dict[int, list[str]] = {track_id: [] for track_id in tracks}
    warnings: list[str] = []
    for box in cutting.cut_boxes(video, tracks, warnings, first_frame=first_frame):
        if box.crop is not None:
            files[box.track_id].append(f"{box.track_id}/{box.frame:06d}.jpg")
            path = folder / files[box.track_id][-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(box.crop).save(path, "JPEG", quality=QUALITY)
    for track_id, track in tracks.items():
        if not files[track_id]:
            warnings.append(f"nothing is left of track {track_id}")
        for position in image_files.jumps(track.frames.tolist()):
            before, after = track.frames[position : position + 2]
            warnings.append(
                f"line {track.lines[position + 1]}: track {track_id} goes on with "
                f"frame {after} after {before}"
            )
    return Crops(files, warnings)
