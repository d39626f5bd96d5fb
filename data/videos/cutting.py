"""The boxes of tracks, cut out of their video."""

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
    """One box of a track, as it is in the video."""

    track_id: int
    frame: int
    """Number of the video's frame, counted from 1."""

    seconds: float | None
    """Time since the video's first frame; None where it is not known."""

    crop: np.ndarray | None
    """uint8 [h, w, 3], RGB, a view of the frame; None wholly outside the picture."""


@dataclasses.dataclass(frozen=True)
class Tracklet:
    """One track's pictures in order of time: `crops` are uint8 [h, w, 3], RGB."""

    track_id: int
    crops: list[np.ndarray]
    frames: np.ndarray
    """Numbers of the video's frames that the crops come from, counted from 1."""

    num_outside: int
    """Boxes of this track that gave no crop: outside the picture or the video."""


def cut_tracks(
    video: str | os.PathLike, tracks: Mapping[int, Track], *, min_frames: int = 1
) -> list[Tracklet]:
    """Cuts the tracks' boxes out of a video, one tracklet for each track.

    Tracks with fewer than `min_frames` crops are left out; 0 keeps even those without
    any. Raises as `cut_boxes`.
    """
    crops = {track_id: [] for track_id in tracks}
    frames = {track_id: [] for track_id in tracks}
    for box in cut_boxes(video, tracks):
        if box.crop is not None:
            crops[box.track_id].append(box.crop.copy())  # lets go of the image
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
    """The boxes of all tracks, frame after frame; `frames.read` says what videos are.

    A crop holds the pixels from `round(left)` up to `round(left + width)` and in the
    same way in height, as far as they are inside the image. The left-most pixel
    covers 0 to 1. Boxes of frames that the video does not have are left out. When the
    last box was yielded, `warnings` has texts that count the boxes without a crop.
    Given the `first_frame` of the tracks' file, another text says so where the ends of
    the tracks and of the video look like a file that counts from another number.

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
    last = max(boxes, default=0)
    outside: list[int] = []
    first, number = 0, 0
    with contextlib.closing(video_frames.read(video, fps=fps)) as frames:
        for frame in frames:
            first, number = first or frame.number, frame.number
            for track_id, box, line in boxes.pop(number, ()):
                crop = _crop(frame.image, box)
                if not crop.size:
                    outside.append(line)
                yield Box(track_id, number, frame.seconds, crop if crop.size else None)
            if number >= last:
                break
        after = _next_two(frames) if number == last else []
    lines = sorted(line for rows in boxes.values() for _, _, line in rows)
    num_boxes = sum(len(track.frames) for track in tracks.values())
    if 2 * len(lines) > num_boxes:
        numbers = f"{first} to {number}" if number < last else f"from {first} on"
        raise UserError(
            f"{video} has no frames for {len(lines):,} of {num_boxes:,} boxes: it has "
            f"frames {numbers}, but the tracks go on to frame {last}. They belong to "
            "another video, or this one is cut short."
        )
    if warnings is not None:
        if outside:
            warnings.append(str(LeftOut("outside the picture", tuple(sorted(outside)))))
        if lines:
            reason = "there is no picture of their frame"
            if number < last:
                reason = f"the video has no such frame, it ends with frame {number}"
            warnings.append(str(LeftOut(reason, tuple(lines))))
        if first_frame == 1 and after == [last + 1]:
            warnings.append(
                f"the tracks end with frame {last}, one before the video's last: if "
                "the file counts frames from 0, give --first_frame=0"
            )
        if first_frame == 0 and last == number + 1:
            warnings.append(
                f"the tracks end one frame after the video, with frame {last - 1}: if "
                "the file counts frames from 1, leave out --first_frame=0"
            )


def _next_two(frames: Iterator[video_frames.Frame]) -> list[int]:
    """Numbers of up to two more frames; a file may be damaged behind its tracks."""
    numbers = []
    with contextlib.suppress(UserError):
        for frame in itertools.islice(frames, 2):
            numbers.append(frame.number)
    return numbers


def _crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """The part of `image` in `box`; of size 0 where there is none."""
    left, top, width, height = box
    # Halves round up, so that a box keeps its size wherever it is.
    x = np.floor(np.array([left, left + width]) + 0.5)
    y = np.floor(np.array([top, top + height]) + 0.5)
    x = np.clip(x, 0, image.shape[1]).astype(int)
    y = np.clip(y, 0, image.shape[0]).astype(int)
    return image[y[0] : y[1], x[0] : x[1]]
