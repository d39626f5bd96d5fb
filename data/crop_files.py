"""The boxes of tracks, cut out of a video into image files."""

import os
import pathlib
from collections.abc import Iterator

from PIL import Image

from data import image_files, mot

QUALITY = 95


def write_crops(
    video_path: str | os.PathLike,
    tracks: dict[int, mot.Track],
    folder: pathlib.Path,
    *,
    may_end: bool = False,
) -> dict[int, list[str]]:
    """Writes `<track id>/<frame>.jpg` into `folder`, the frame in six digits.

    Returns each track's files in order, a path in `folder` each. Boxes wholly outside
    the image have none, nor, with `may_end`, those after the end of the video.
    `mot.cut_boxes` says what is raised.
    """
    files: dict[int, list[str]] = {track_id: [] for track_id in tracks}
    for track_id, frame, crop in mot.cut_boxes(video_path, tracks, may_end=may_end):
        if crop is not None:
            files[track_id].append(f"{track_id}/{frame:06d}.jpg")
            path = folder / files[track_id][-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(path, "JPEG", quality=QUALITY)
    return files


def warnings(
    name: str, tracks: dict[int, mot.Track], files: dict[int, list[str]]
) -> Iterator[str]:
    """By the lines of the file `name`: boxes without a crop, and gaps in tracks."""
    for track_id, track in tracks.items():
        written = set(files[track_id])
        for line, frame in zip(track.lines, track.frames, strict=True):
            if f"{track_id}/{frame:06d}.jpg" not in written:
                yield (
                    f"{name} line {line}: the box of track {track_id} in frame {frame} "
                    "is outside the video"
                )
        for position in image_files.jumps(track.frames.tolist()):
            before, after = track.frames[position : position + 2]
            yield (
                f"{name} line {track.lines[position + 1]}: track {track_id} goes on "
                f"with frame {after} after {before}"
            )
