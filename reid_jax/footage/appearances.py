"""The tracks of all recordings as embeddings, with when and how they were seen."""

import dataclasses
import hashlib
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import PIL.Image

from data.videos import cutting, mot, pictures
from reid_jax import files
from reid_jax.footage.cameras import Recording
from reid_jax.report import strips
from reid_jax.runs.run import Run

_SHOWN = (1 / 6, 1 / 2, 5 / 6)
"""Which of a track's boxes are shown, as fractions of them."""

_JPEG_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Settings:
    """How tracks are read; what is embedded depends on it."""

    min_frames: int = 8
    """Tracks with fewer boxes are not embedded."""
    every: int = 1
    """Of a track's boxes, each such one is embedded."""


@dataclasses.dataclass(frozen=True, repr=False)
class Appearances:
    """N tracks of several recordings, in the order of recordings and track ids."""

    recordings: Sequence[Recording]
    embeddings: np.ndarray  # float32 [N, D]
    recording: np.ndarray  # int [N], of `recordings`
    track: np.ndarray  # int [N], ids
    frames: list[np.ndarray]  # of each track: the numbers of its frames, from 1
    seconds: np.ndarray  # float64 [N, 2]: first and last, nan where not known
    pictures: list[list[bytes]]  # of each track: one to three as JPEG

    def __len__(self) -> int:
        return len(self.track)

    def camera(self, number: int) -> str:
        """The camera of a track."""
        return self.recordings[self.recording[number]].camera

    def name(self, number: int) -> str:
        """What a track is called: camera:track."""
        return f"{self.camera(number)}:{self.track[number]}"

    def clock(self) -> np.ndarray | None:
        """First and last second [N, 2] on one clock; None where there is none."""
        starts = [each.start for each in self.recordings]
        if None in starts or np.isnan(self.seconds).any():
            return None
        offsets = np.array([(start - min(starts)).total_seconds() for start in starts])
        return offsets[self.recording][:, None] + self.seconds

    def order(self) -> np.ndarray:
        """Positions of the tracks by time; by recording where there is no clock."""
        times = self.clock()
        first = [numbers[0] for numbers in self.frames]
        keys = (first, self.recording) if times is None else (times[:, 0],)
        return np.lexsort((self.track, *keys))


def embed(
    run: Run,
    recordings: Sequence[Recording],
    settings: Settings,
    *,
    kept: pathlib.Path | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
    report: Callable[[str], None] = print,
) -> Appearances:
    """Embeds every track of the recordings that has enough boxes in the picture.

    What was embedded before is read from the folder `kept`, as long as the weights, the
    video, its tracks and the settings are the same. `progress(done, total, name)` is
    called with boxes; `report` gets a line for each thing that was left out.
    Raises UserError for a recording that cannot be read.
    """
    all_tracks = []
    for recording in recordings:
        found = mot.read_tracks(
            recording.tracks,
            first_frame=recording.first_frame,
            classes=recording.classes,
        )
        for line in found.warnings():
            report(f"{recording.tracks}: {line}")
        all_tracks.append(_long_enough(found.by_id, settings))
    total = sum(len(t.frames) for tracks in all_tracks for t in tracks.values())
    done, parts = 0, []
    for recording, tracks in zip(recordings, all_tracks, strict=True):
        file = kept and kept / f"{_key(run, recording, settings)[:32]}.npz"
        part = _load(file) if file else None
        if part is None:

            def advance(boxes: int, before: int = done, r=recording) -> None:
                progress(before + boxes, total, r.camera)

            part = _embed_recording(run, recording, tracks, settings.every, advance)
            if file:
                _save(file, part)
        for line in part.warnings:
            report(f"{recording.tracks}: {line}")
        done += sum(len(track.frames) for track in tracks.values())
        progress(done, total, recording.camera)
        parts.append((part, tracks))
    return _joined(recordings, parts)


def _long_enough(tracks: dict[int, mot.Track], settings: Settings):
    return {
        track_id: track
        for track_id, track in tracks.items()
        if len(track.frames) >= settings.min_frames
    }


@dataclasses.dataclass(frozen=True)
class _Part:
    """The tracks of one recording that have a box in the picture."""

    embeddings: np.ndarray
    track: np.ndarray
    seconds: np.ndarray
    pictures: list[list[bytes]]
    warnings: list[str]


class _Seen:
    """What is held of one track while its video is read."""

    def __init__(self, num_boxes: int):
        self.num_left = num_boxes
        self._shown = {int(part * num_boxes) for part in _SHOWN}
        self._pictures: list[bytes] = []
        self._position = 0
        self.seconds: list[float] = []
        self.clip: list[np.ndarray] = []

    def add(self, box: cutting.Box, every: int) -> None:
        """Takes in the next box; those outside the picture have no crop."""
        position, self._position = self._position, self._position + 1
        self.num_left -= 1
        if box.crop is None:
            return
        is_first = not self.seconds
        seconds = np.nan if box.seconds is None else box.seconds
        self.seconds = [*self.seconds[:1], seconds]
        if is_first or position % every == 0:
            self.clip.append(box.crop.copy())  # lets go of the whole image
        if is_first or position in self._shown:
            self._pictures.append(jpeg(box.crop))

    @property
    def pictures(self) -> list[bytes]:
        """Three, or fewer where the track is short or often outside the picture."""
        return self._pictures[-len(_SHOWN) :]


def _embed_recording(
    run: Run,
    recording: Recording,
    tracks: dict[int, mot.Track],
    every: int,
    progress: Callable[[int], None],
) -> _Part:
    seen = {track_id: _Seen(len(track.frames)) for track_id, track in tracks.items()}
    number = {track_id: position for position, track_id in enumerate(tracks)}
    warnings: list[str] = []

    def clips() -> Iterator[tuple[list[np.ndarray], int]]:
        """Each track's clips as soon as they are full, so that few crops are held."""
        T = run.config.model.clip_length
        cut = cutting.cut_boxes(
            recording.video,
            tracks,
            warnings,
            first_frame=recording.first_frame,
            fps=recording.fps,
        )
        for done, box in enumerate(cut, start=1):
            track = seen[box.track_id]
            track.add(box, every)
            if len(track.clip) == T or (track.clip and not track.num_left):
                yield track.clip, number[box.track_id]
                track.clip = []
            progress(done)
        for track_id, track in seen.items():  # the video ended before they did
            if track.clip:
                yield track.clip, number[track_id]

    embeddings = run.embed_clips(clips(), len(tracks))
    there = [track_id for track_id, track in seen.items() if track.seconds]
    return _Part(
        embeddings[[number[track_id] for track_id in there]],
        np.array(there, int),
        np.array([[*seen[t].seconds[:1], seen[t].seconds[-1]] for t in there], float),
        [seen[track_id].pictures for track_id in there],
        warnings,
    )


def jpeg(crop: np.ndarray) -> bytes:
    """A crop as it is shown, as the content of a JPEG file."""
    file = io.BytesIO()
    image = PIL.Image.fromarray(strips.resize(crop))
    image.save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _joined(recordings, parts) -> Appearances:
    embeddings = [part.embeddings for part, _ in parts if len(part.track)]
    return Appearances(
        recordings,
        np.concatenate(embeddings) if embeddings else np.zeros((0, 0), np.float32),
        np.repeat(np.arange(len(parts)), [len(part.track) for part, _ in parts]),
        np.concatenate([part.track for part, _ in parts]),
        [tracks[t].frames for part, tracks in parts for t in part.track.tolist()],
        np.concatenate([part.seconds.reshape(-1, 2) for part, _ in parts]),
        [pictures for part, _ in parts for pictures in part.pictures],
    )


def _key(run: Run, recording: Recording, settings: Settings) -> str:
    """All that a recording's embeddings depend on, as one text.

    A folder or pattern of pictures is known by the names, sizes and times of them all.
    """
    video = recording.video
    is_file = not (video.is_dir() or pictures.is_pattern(video))
    shown = [video] if is_file else pictures.numbered(video).values()
    stats = [(str(path.resolve()), path.stat()) for path in shown]
    depends = {
        "run": run.pictures_key,
        "video": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        "tracks": hashlib.sha256(recording.tracks.read_bytes()).hexdigest(),
        "read as": [
            recording.first_frame,
            recording.classes and sorted(recording.classes),
            recording.fps,
        ],
        "settings": dataclasses.asdict(settings),
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def _save(path: pathlib.Path, part: _Part) -> None:
    """Writes a recording's tracks; in a folder that cannot be written nothing is."""
    every = [picture for pictures in part.pictures for picture in pictures]
    arrays = {
        "embeddings": part.embeddings,
        "track": part.track,
        "seconds": part.seconds,
        "num_pictures": np.array([len(pictures) for pictures in part.pictures], int),
        "lengths": np.array([len(picture) for picture in every], int),
        "jpeg": np.frombuffer(b"".join(every), np.uint8),
        "warnings": np.array(part.warnings, str),
    }
    with files.write_whole(path) as unfinished:
        np.savez(unfinished, **arrays)


def _load(path: pathlib.Path) -> _Part | None:
    """What `_save` wrote; None where it is missing or damaged."""
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            content = arrays["jpeg"].tobytes()
            ends = np.cumsum(arrays["lengths"])
            starts = ends - arrays["lengths"]
            every = [content[a:b] for a, b in zip(starts, ends, strict=True)]
            ends = np.cumsum(arrays["num_pictures"])
            starts = ends - arrays["num_pictures"]
            return _Part(
                arrays["embeddings"],
                arrays["track"],
                arrays["seconds"],
                [every[a:b] for a, b in zip(starts, ends, strict=True)],
                arrays["warnings"].tolist(),
            )
    except Exception:  # another version's, or damaged: whatever that leads NumPy to
        return None
