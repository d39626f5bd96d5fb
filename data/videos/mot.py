"""Tracks in MOTChallenge format, cut out of their video as tracklets.

Format: https://motchallenge.net, one line for each box,
`frame,id,left,top,width,height,…`, frames counted from 1, boxes in pixels. What follows
the sixth number (confidence, 3-D position) is not used.
"""

import dataclasses
import math
import os
import pathlib
from collections import defaultdict
from collections.abc import Collection, Iterator

import numpy as np

from data.sources import checks
from reid_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Track:
    """The boxes of one id in order of time: frames [N] and boxes [N, 4]."""

    frames: np.ndarray
    """Numbers of the video's frames, counted from 1."""

    boxes: np.ndarray
    """Left, top, width, height in pixels; float64."""

    lines: np.ndarray
    """Lines of the file that the boxes are in, counted from 1."""


@dataclasses.dataclass(frozen=True)
class Tracklet:
    """One track's pictures in order of time: `crops` are uint8 [h, w, 3], RGB."""

    track_id: int
    crops: list[np.ndarray]
    frames: np.ndarray
    """Numbers of the video's frames that the crops come from, counted from 1."""

    num_outside: int
    """Boxes of this track that lie wholly outside the image and gave no crop."""


def read_tracks(path: str | os.PathLike) -> dict[int, Track]:
    """The tracks of a file by their id, in order of the ids.

    Raises:
        UserError: lists the first ten bad lines and says how many there are. A line is
            bad when a number of the six is missing or not finite, when the frame is
            not a whole number from 1 or the id not one from 0 (detections have id -1:
            they are not tracks yet), when the box is empty, or when its id was in that
            frame before.
    """
    tracks, problems, _ = parse_tracks(path)
    if problems:
        subject = f"{path} (frame,id,left,top,width,height)"
        raise UserError(checks.listed(subject, problems, "bad line"))
    if not tracks:
        raise UserError(f"{path}: no tracks in it.")
    return tracks


def parse_tracks(
    path: str | os.PathLike, *, nobody: Collection[int] = ()
) -> tuple[dict[int, Track], list[str], int]:
    """The tracks of a file, what is wrong with its other lines, and nobody's boxes.

    Boxes whose id is in `nobody` belong to no track: they are only counted. What makes
    a line bad, `read_tracks` says.
    """
    rows: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    problems, num_nobody = [], 0
    text = pathlib.Path(path).read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            frame, track_id, *box = _parse_line(line, nobody)
            if track_id in nobody:
                num_nobody += 1
            elif frame in rows[track_id]:
                raise UserError(f"id {track_id} is in frame {frame} already")
            else:
                rows[track_id][frame] = (*box, number)
        except ValueError as error:
            problems.append(f"line {number}: {error}: {line[:80]!r}")
    tracks = {}
    for track_id in sorted(rows):
        frames = sorted(rows[track_id])
        table = np.array([rows[track_id][frame] for frame in frames])
        if frames:
            lines = table[:, 4].astype(int)
            tracks[track_id] = Track(np.array(frames), table[:, :4], lines)
    return tracks, problems, num_nobody


def cut_tracks(
    video_path: str | os.PathLike, tracks: dict[int, Track], *, min_frames: int = 1
) -> list[Tracklet]:
    """Cuts the tracks' boxes out of a video, one tracklet for each track.

    A crop holds the pixels from `round(left)` up to `round(left + width)` and in the
    same way in height, as far as they are inside the image. The left-most pixel
    covers 0 to 1. Tracks with fewer than `min_frames` crops are left out; 0 keeps even
    those without any.

    Raises:
        ImportError: PyAV is not installed.
        UserError: the video cannot be read, or ends before the last track does.
    """
    crops = {track_id: [] for track_id in tracks}
    frames = {track_id: [] for track_id in tracks}
    for track_id, frame, crop in cut_boxes(video_path, tracks):
        if crop is not None:
            crops[track_id].append(crop.copy())  # lets go of the image
            frames[track_id].append(frame)
    return [
        Tracklet(
            track_id,
            crops[track_id],
            np.array(frames[track_id], int),
            num_outside=len(track.frames) - len(crops[track_id]),
        )
        for track_id, track in tracks.items()
        if len(crops[track_id]) >= min_frames
    ]


def cut_boxes(
    video_path: str | os.PathLike, tracks: dict[int, Track], *, may_end: bool = False
) -> Iterator[tuple[int, int, np.ndarray | None]]:
    """Id, frame and crop (a view of the image) of each box, frame after frame.

    The crop of a box that lies wholly outside the image is None. With `may_end`, boxes
    after the end of the video are left out instead of an error.

    Raises: as `cut_tracks`.
    """
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "Cutting tracks from videos needs PyAV: pip install av"
        ) from (error)
    boxes = defaultdict(list)  # frame: [(track_id, box), ...]
    for track_id, track in tracks.items():
        for frame, box in zip(track.frames.tolist(), track.boxes, strict=True):
            boxes[frame].append((track_id, box))
    last = max(boxes, default=0)
    number = 0
    try:
        with av.open(os.fspath(video_path)) as video:
            if not video.streams.video:
                raise UserError(f"{video_path} has no video in it.")
            video.streams.video[0].thread_type = "AUTO"
            for number, picture in enumerate(video.decode(video=0), start=1):
                if number in boxes:
                    image = picture.to_ndarray(format="rgb24")
                    for track_id, box in boxes[number]:
                        crop = _crop(image, box)
                        yield track_id, number, crop if crop.size else None
                if number >= last:
                    break
    except av.error.FFmpegError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UserError(
            f"{video_path} cannot be read after frame {number}: {error}"
        ) from error
    if number == 0 or (number < last and not may_end):
        raise UserError(
            f"{video_path} has {number} frames, but the tracks go on to frame {last}: "
            "they belong to another video, or this one is cut short."
        )


_LARGEST = 2**53
"""Beyond it a float no longer tells whole numbers apart."""


def _parse_line(
    line: str, nobody: Collection[int]
) -> tuple[int, int, float, float, float, float]:
    fields = line.split(",")
    if len(fields) < 6:
        raise UserError(f"{len(fields)} numbers")
    try:
        values = [float(field) for field in fields[:6]]
    except ValueError:
        raise UserError("not a number") from None
    if not all(map(math.isfinite, values)):
        raise UserError("not a finite number")
    frame, track_id, left, top, width, height = values
    if not 1 <= frame <= _LARGEST or not frame.is_integer():
        raise UserError("frames are 1, 2, …")
    if track_id not in nobody and not (
        0 <= track_id <= _LARGEST and track_id.is_integer()
    ):
        raise UserError("ids are 0, 1, …")
    if width <= 0 or height <= 0:
        raise UserError("empty box")
    return int(frame), int(track_id), left, top, width, height


def _crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of `image` in `box`; of size 0 where there is none."""
    left, top, width, height = box
    # Halves round up, so that a box keeps its size wherever it is.
    x = np.floor(np.array([left, left + width]) + 0.5)
    y = np.floor(np.array([top, top + height]) + 0.5)
    x = np.clip(x, 0, image.shape[1]).astype(int)
    y = np.clip(y, 0, image.shape[0]).astype(int)
    return image[y[0] : y[1], x[0] : x[1]]
