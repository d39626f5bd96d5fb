"""Cuts the boxes of tracks out of their video."""

import contextlib
import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from data.videos import frames as video_frames
from data.videos.mot import LeftOut, Track
from reid_jax.errors import UserError


class Box(NamedTuple):
    """One box of a track, with its pixels."""

    track_id: int
    frame: int
    """Number of the video's frame, from 1."""

    seconds: float | None
    """Time since the video's first frame; None where it is unknown."""

    crop: np.ndarray | None
    """RGB pixels, uint8 [h, w, 3]: a view of the frame.

    None where the box is wholly outside the picture.
    """


@dataclasses.dataclass(frozen=True)
class Tracklet:
    """The pictures of one track in order of time: RGB crops, uint8 [h, w, 3]."""

    track_id: int
    crops: list[np.ndarray]
    frames: np.ndarray
    """Number of the video's frame of each crop, from 1."""

    num_outside: int
    """Number of boxes without a crop: outside the picture, or after the video."""


def cut_tracks(
    video: str | os.PathLike, tracks: Mapping[int, Track], *, min_frames: int = 1
) -> list[Tracklet]:
    """Cuts tracks out of a video: a tracklet for each track with `min_frames` crops.

    With `min_frames=0`, tracks without any crop are returned, too. Raises as
    `cut_boxes`.
    """
    crops = {track_id: [] for track_id in tracks}
    frames = {track_id: [] for track_id in tracks}
    for box in cut_boxes(video, tracks):
        if box.crop is not None:
            # A copy, so that the whole image can be freed.
            crops[box.track_id].append(box.crop.copy())
            frames[box.track_id].append(box.frame)
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
    video: str | os.PathLike,
    tracks: Mapping[int, Track],
    warnings: list[str] | None = None,
    *,
    first_frame: int | None = None,
    fps: float | None = None,
) -> Iterator[Box]:
    """Yields the boxes of all tracks with their pixels, frame after frame.

    A crop has the pixels from `round(left)` up to `round(left + width)`, and the same
    in height, as far as they are inside the image. The left-most pixel covers 0 to 1.
    Boxes of frames that the video does not have are left out.

    Args:
        video: What `frames.read` can read.
        tracks: The tracks by id.
        warnings: Gets, after the last box, texts that count the boxes without a crop.
        first_frame: Number that the tracks' file gives to the first frame. With it,
            another text warns where the ends of tracks and video suggest another
            number.
        fps: Frame rate of pictures; see `frames.read`.

    Raises:
        ImportError: `video` is a file, and PyAV is not installed.
        FileNotFoundError: there is no such file.
        UserError: the video cannot be read, or lacks the frames of most boxes.
    """
    boxes = defaultdict(list)  # frame: [(track_id, box, line), ...]
    for track_id, track in tracks.items():
        rows = (track.frames.tolist(), track.boxes, track.lines.tolist())
        for frame, box, line in zip(*rows, strict=True):
            boxes[frame].append((track_id, box, line))
    last_frame = max(boxes, default=0)
    outside_lines: list[int] = []
    first, number = 0, 0
    with contextlib.closing(video_frames.read(video, fps=fps)) as frames:
        for frame in frames:
            first, number = first or frame.number, frame.number
            for track_id, box, line in boxes.pop(number, ()):
                crop = _crop(frame.image, box)
                if not crop.size:
                    outside_lines.append(line)
                yield Box(track_id, number, frame.seconds, crop if crop.size else None)
            if number >= last_frame:
                break
        next_frames = _next_two(frames) if number == last_frame else []
    lost_lines = sorted(line for rows in boxes.values() for _, _, line in rows)
    num_boxes = sum(len(track.frames) for track in tracks.values())
    if 2 * len(lost_lines) > num_boxes:
        numbers = f"{first} to {number}" if number < last_frame else f"from {first} on"
        raise UserError(
            f"{video} has no frames for {len(lost_lines):,} of {num_boxes:,} boxes: it "
            f"has frames {numbers}, but the tracks go on to frame {last_frame}. They "
            "belong to another video, or this one is cut short."
        )
    if warnings is not None:
        if outside_lines:
            warnings.append(
                str(LeftOut("outside the picture", tuple(sorted(outside_lines))))
            )
        if lost_lines:
            reason = "there is no picture of their frame"
            if number < last_frame:
                reason = f"the video has no such frame, it ends with frame {number}"
            warnings.append(str(LeftOut(reason, tuple(lost_lines))))
        if first_frame == 1 and next_frames == [last_frame + 1]:
            warnings.append(
                f"the tracks end with frame {last_frame}, one before the video's last: "
                "if the file counts frames from 0, give --first_frame=0"
            )
        if first_frame == 0 and last_frame == number + 1:
            warnings.append(
                "the tracks end one frame after the video, with frame "
                f"{last_frame - 1}: if the file counts frames from 1, leave out "
                "--first_frame=0"
            )


def _next_two(frames: Iterator[video_frames.Frame]) -> list[int]:
    """Numbers of up to two more frames. Damage behind the tracks does not matter."""
    numbers = []
    with contextlib.suppress(UserError):
        for frame in itertools.islice(frames, 2):
            numbers.append(frame.number)
    return numbers


def _crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The pixels of `image` inside `box`; of size 0 where there are none."""
    left, top, width, height = box
    # Halves round up, so that a box keeps its size wherever it is.
    x = np.floor(np.array([left, left + width]) + 0.5)
    y = np.floor(np.array([top, top + height]) + 0.5)
    x = np.clip(x, 0, image.shape[1]).astype(int)
    y = np.clip(y, 0, image.shape[0]).astype(int)
    return image[y[0] : y[1], x[0] : x[1]]
