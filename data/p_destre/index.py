"""Reads P-DESTRE's tracklets and splits; each video counts as a camera."""

import dataclasses
import pathlib
from collections import defaultdict
from collections.abc import Mapping

from data.p_destre.annotations import Video, read_videos
from data.sources import checks, image_files
from data.sources.halves import seeded_halves
from data.videos import crop_files

NUM_SPLITS = 5
NUM_SEEDED = 10
SPLITS = "Splits"

LAYOUT = """\
P-DESTRE comes from its authors. DIR then holds
  videos/<name>.MP4      e.g. 08-11-2019-1-1.MP4
  annotation/<name>.txt  frame,id,x,y and the size of a box, …
and, for the configs split0 to split4, its re-identification splits. A line of these
files is the name of a video:
  Splits/Train_0.txt  Splits/Query_0.txt  Splits/Gallery_0.txt  … Splits/Gallery_4.txt
Persons are cut out of the videos into a temporary folder (TMPDIR), then packed."""


@dataclasses.dataclass(frozen=True)
class Appearance:
    """One person in one video."""

    video: str
    track_id: int
    pid: int
    camid: int


Plan = dict[str, list[Appearance]]
"""Split → who appears in it."""


def cut_splits(
    folder: pathlib.Path, config: str, crops: pathlib.Path
) -> image_files.Splits:
    """Cuts the tracklets of a config out of the videos into the empty folder `crops`.

    `split<k>` are the published splits, `seeded<k>` our own halves of persons. Warns
    about what is left out, by file and line.

    Raises:
        SourceError: lists what in `folder` cannot be used or read.
    """
    videos, warnings = read_videos(folder)
    if config.startswith("seeded"):
        plan = seeded_plan(videos, int(config.removeprefix("seeded")), warnings)
    else:
        number = int(config.removeprefix("split"))
        plan = published_plan(videos, folder, number, warnings)
    track_ids_by_video = defaultdict(set)
    for appearances in plan.values():
        for appearance in appearances:
            track_ids_by_video[appearance.video].add(appearance.track_id)
    files, problems = {}, []  # files[video][track id]
    for name, track_ids in sorted(track_ids_by_video.items()):
        video = videos[name]
        tracks = {track_id: video.tracks[track_id] for track_id in sorted(track_ids)}
        try:
            written = crop_files.write_crops(video.path, tracks, crops / name)
        except ValueError as error:
            problems.append(str(error))
        else:
            files[name] = written.files
            warnings += [f"{video.annotation}: {each}" for each in written.warnings]
    checks.warn(f"P-DESTRE in {folder}", warnings)
    if problems:
        raise checks.SourceError("P-DESTRE", folder, problems)
    splits = {
        split: [
            image_files.FileTracklet(
                f"{each.video}/{each.track_id}",
                each.pid,
                each.camid,
                [f"{each.video}/{path}" for path in files[each.video][each.track_id]],
            )
            for each in appearances
            if files[each.video][each.track_id]
        ]
        for split, appearances in plan.items()
    }
    empty_splits = [
        f"nobody is left for {split}" for split in splits if not splits[split]
    ]
    if empty_splits:
        raise checks.SourceError("P-DESTRE", folder, empty_splits)
    return splits


def seeded_plan(videos: Mapping[str, Video], seed: int, warnings: list[str]) -> Plan:
    """Our own halves of persons; pids are the ids, which are the same on all days.

    The query of a test person is its first video by name; its other videos are in the
    gallery. A person in one video only is in the gallery, without a query.
    """
    appearances = defaultdict(list)
    for camid, (name, video) in enumerate(videos.items()):
        for pid in video.tracks:
            appearances[pid].append(Appearance(name, pid, pid, camid))
    train, test = seeded_halves(sorted(appearances), seed)
    plan: Plan = {"train": [], "query": [], "gallery": []}
    for pid in train:
        plan["train"] += appearances[pid]
    for pid in test:
        first, *others = appearances[pid]
        plan["query" if others else "gallery"].append(first)
        plan["gallery"] += others
        if not others:
            warnings.append(f"person {pid} is in {first.video} only: no query")
    return plan


def published_plan(
    videos: Mapping[str, Video], folder: pathlib.Path, number: int, warnings: list[str]
) -> Plan:
    """The published split `number` of the videos.

    As in the authors' program, a person is an id within a session, because clothes
    change between sessions. A session is the name of a video up to its last `-`. Pids
    count these persons from 1, sorted by session and id.

    Raises:
        SourceError: lists split files that are missing, and videos they should not
            name.
    """
    persons = sorted(
        {
            (_session(name), pid)
            for name, video in videos.items()
            for pid in video.tracks
        }
    )
    pids = {person: number for number, person in enumerate(persons, start=1)}
    camids = {name: camid for camid, name in enumerate(videos)}
    plan: Plan = {}
    problems: list[str] = []
    for split in ("train", "query", "gallery"):
        path = folder / SPLITS / f"{split.capitalize()}_{number}.txt"
        place = f"{SPLITS}/{path.name}"
        names = _read_names(path, place, videos, problems)
        plan[split] = [
            Appearance(name, track_id, pids[_session(name), track_id], camids[name])
            for name in names
            for track_id in videos[name].tracks
        ]
        if not plan[split] and path.is_file():
            problems.append(f"{place}: no person in its videos")
    if problems:
        raise checks.SourceError("P-DESTRE", folder, problems)
    train, query, gallery = (
        {(each.pid, each.camid) for each in plan[split]}
        for split in ("train", "query", "gallery")
    )
    shared_pids = {pid for pid, _ in train} & {pid for pid, _ in query | gallery}
    if shared_pids:
        text = "persons are in training and in testing"
        warnings.insert(
            0, f"{len(shared_pids)} {text}: {checks.shortened(sorted(shared_pids))}"
        )
    unmatched_pids = sorted(
        pid
        for pid, camid in query
        if not any(
            pid == other_pid and camid != other_camid
            for other_pid, other_camid in gallery
        )
    )
    if unmatched_pids:
        text = "queries have no match under another camera: persons"
        warnings.insert(
            0, f"{len(unmatched_pids)} {text} {checks.shortened(unmatched_pids)}"
        )
    return plan


def _session(name: str) -> str:
    """The session of a video: its name up to the last `-`."""
    return name.rpartition("-")[0]


def _read_names(
    path: pathlib.Path, place: str, videos: Mapping[str, Video], problems: list[str]
) -> list[str]:
    """The videos that a split file names, sorted; bad lines go to `problems`."""
    if not path.is_file():
        problems.append(f"{place}: missing (seeded0 to seeded9 do without)")
        return []
    names = set()
    content = path.read_text("utf-8-sig", errors="replace")
    for line, text in enumerate(content.splitlines(), start=1):
        name = text.strip().removesuffix(".txt")
        if name in videos and name not in names:
            names.add(name)
        elif name:
            problem = "is there twice" if name in names else "has no video"
            problems.append(f"{place} line {line}: {name!r} {problem}")
    return sorted(names)
