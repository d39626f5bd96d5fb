"""Cuts the boxes of tracks out of a video into image files."""

import dataclasses
import os
import pathlib

from PIL import Image

from data.sources import image_files
from data.videos import cutting, mot

JPEG_QUALITY = 95


@dataclasses.dataclass(frozen=True)
class Crops:
    """The image files of some tracks."""

    files: dict[int, list[str]]
    """Track id → paths of its crops in the folder, in order of time."""
    warnings: list[str]
    """Texts about boxes without a crop, tracks without any, and gaps in tracks."""


def write_crops(
    video: str | os.PathLike,
    tracks: dict[int, mot.Track],
    folder: pathlib.Path,
    *,
    first_frame: int | None = None,
) -> Crops:
    """Writes the crops of tracks as `<track id>/<frame>.jpg`, the frame in six digits.

    Args:
        video: A video file, a folder of pictures, or a pattern of their names.
        tracks: The tracks by id.
        folder: Folder to write into.
        first_frame: Number that the tracks' file gives to the first frame, for
            warnings; see `cutting.cut_boxes`, also for what is raised.
    """
    files: dict[int, list[str]] = {track_id: [] for track_id in tracks}
    warnings: list[str] = []
    for box in cutting.cut_boxes(video, tracks, warnings, first_frame=first_frame):
        if box.crop is not None:
            files[box.track_id].append(f"{box.track_id}/{box.frame:06d}.jpg")
            path = folder / files[box.track_id][-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(box.crop).save(path, "JPEG", quality=JPEG_QUALITY)
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
