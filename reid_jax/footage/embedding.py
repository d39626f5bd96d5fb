"""Embeds the tracks of recordings, clip by clip."""

import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from data.videos import cutting, mot
from reid_jax import peers
from reid_jax.errors import UserError
from reid_jax.footage import stored_embeddings
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.cameras import Recording
from reid_jax.footage.stored_embeddings import Part
from reid_jax.footage.tracks import Plan
from reid_jax.report import html, strips
from reid_jax.runs.run import Run

_SHOWN = (1 / 6, 1 / 2, 5 / 6)
"""Positions of the boxes that are shown as pictures, as fractions of a track."""


def embed(
    run: Run,
    plan: Plan,
    *,
    cache_folder: pathlib.Path | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
    report: Callable[[str], None] = print,
) -> Appearances:
    """Embeds every track of the plan that has a box in the picture.

    Args:
        run: the run whose network embeds.
        plan: the recordings and their tracks.
        cache_folder: folder of stored embeddings; None: none are stored. A recording
            is read from it if the weights, the video, its tracks and the settings are
            unchanged.
        progress: called with (boxes done, all boxes, name of the recording).
        report: called with a line for everything that is left out.

    Raises:
        UserError: a recording cannot be read, or no track has a box in the picture.
    """
    done, parts, settings = 0, [], plan.settings
    for recording, tracks in zip(plan.recordings, plan.tracks, strict=True):
        part = stored_embeddings.load(cache_folder, run, recording, settings)
        if part is None:

            def advance(boxes: int, before: int = done, r=recording) -> None:
                progress(before + boxes, plan.num_boxes, r.name)

            part = _embed_recording(run, recording, tracks, plan, advance)
            problem = stored_embeddings.save(
                cache_folder, run, recording, settings, part
            )
            if problem:
                report(f"embeddings of {recording.video} are not stored: {problem}")
        for line in part.warnings:
            report(f"{recording.tracks}: {line}")
        done += _num_boxes(tracks)
        progress(done, plan.num_boxes, recording.name)
        parts.append(part)
    if not any(len(part.track) for part in parts):
        raise UserError("No box of a track is inside the picture of its video.")
    return Appearances(
        plan.recordings,
        np.concatenate([part.embeddings for part in parts if len(part.track)]),
        np.repeat(np.arange(len(parts)), [len(part.track) for part in parts]),
        np.concatenate([part.track for part in parts]),
        [
            tracks[track_id].frames
            for part, tracks in zip(parts, plan.tracks, strict=True)
            for track_id in part.track.tolist()
        ],
        np.concatenate([part.seconds.reshape(-1, 2) for part in parts]),
        [pictures for part in parts for pictures in part.pictures],
    )


def embed_together(
    run: Run,
    plan: Plan,
    *,
    cache_folder: pathlib.Path | None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> None:
    """Embeds each recording in one of the processes, and stores it for `embed`.

    All processes must call this. A single process does nothing.

    Raises:
        UserError: there is no `cache_folder`, it is not the same folder for all
            processes, or they have different weights, videos, tracks or settings.
    """
    if peers.share() == (0, 1):
        return
    if cache_folder is None:
        raise UserError(
            "several processes meet in the folder of --keep: --keep=none is for one."
        )
    recordings, settings = plan.recordings, plan.settings
    keys = {
        recording.name: stored_embeddings.key(run, recording, settings)
        for recording in recordings
    }
    peers.check_same(keys, "weights, videos, tracks or settings")
    peers.check_shared(cache_folder)
    missing = []
    if peers.is_main_process():  # its answer is used by all
        missing = [
            number
            for number, recording in enumerate(recordings)
            if stored_embeddings.load(cache_folder, run, recording, settings) is None
        ]
    missing = peers.told_by_all(missing)[0]
    process, num_processes = peers.share()
    boxes = [_num_boxes(plan.tracks[number]) for number in missing]
    assigned = [missing[i] for i in peers.share_out(boxes, num_processes)[process]]
    done, total = 0, sum(_num_boxes(plan.tracks[number]) for number in assigned)
    for number in assigned:
        recording, tracks = recordings[number], plan.tracks[number]

        def advance(boxes: int, before: int = done, name: str = recording.name) -> None:
            peers.check_others()
            progress(before + boxes, total, name)

        part = _embed_recording(run, recording, tracks, plan, advance)
        problem = stored_embeddings.save(cache_folder, run, recording, settings, part)
        if problem:
            raise UserError(
                f"embeddings of {recording.video} cannot be stored for the first "
                f"process: {problem}"
            )
        done += _num_boxes(tracks)
    peers.wait_for_all("embedded")


def _num_boxes(tracks: dict[int, mot.Track]) -> int:
    return sum(len(track.frames) for track in tracks.values())


class _TrackCrops:
    """The crops, times and pictures of a track while its video is read."""

    def __init__(self, num_boxes: int):
        self.num_left = num_boxes
        self._shown = {int(part * num_boxes) for part in _SHOWN}
        self._pictures: list[bytes] = []
        self._position = 0
        self.seconds: list[float] = []
        self.clip: list[np.ndarray] = []

    def add(self, box: cutting.Box, every: int) -> None:
        """Adds the next box; a box outside the picture has no crop."""
        position, self._position = self._position, self._position + 1
        self.num_left -= 1
        if box.crop is None:
            return
        is_first = not self.seconds
        seconds = np.nan if box.seconds is None else box.seconds
        self.seconds = [*self.seconds[:1], seconds]
        if is_first or position % every == 0:
            # A view would keep the whole image in memory.
            self.clip.append(box.crop.copy())
        if is_first or position in self._shown:
            self._pictures.append(html.jpeg(strips.resize(box.crop)))

    @property
    def pictures(self) -> list[bytes]:
        """Up to three pictures; fewer for tracks that are short or often outside."""
        return self._pictures[-len(_SHOWN) :]


def _embed_recording(
    run: Run,
    recording: Recording,
    tracks: dict[int, mot.Track],
    plan: Plan,
    progress: Callable[[int], None],
) -> Part:
    seen = {
        track_id: _TrackCrops(len(track.frames)) for track_id, track in tracks.items()
    }
    positions = {track_id: position for position, track_id in enumerate(tracks)}
    warnings: list[str] = []

    def clips() -> Iterator[tuple[list[np.ndarray], int]]:
        """Yields clips as soon as they are full, so that few crops are held."""
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
            track.add(box, plan.settings.every)
            if len(track.clip) == T or (track.clip and not track.num_left):
                yield track.clip, positions[box.track_id]
                track.clip = []
            progress(done)
        for track_id, track in seen.items():  # the video ended before these tracks
            if track.clip:
                yield track.clip, positions[track_id]

    embeddings = run.embed_clips(clips(), len(tracks))
    visible = [track_id for track_id, track in seen.items() if track.seconds]
    return Part(
        embeddings[[positions[track_id] for track_id in visible]],
        np.array(visible, int),
        np.array([[*seen[t].seconds[:1], seen[t].seconds[-1]] for t in visible], float),
        [seen[track_id].pictures for track_id in visible],
        warnings,
    )
