"""The same person, the same number, across videos: `python -m reid_jax.footage …`.

    footage link   --workdir=runs/demo --cameras=station.csv --out=linked
    footage search --workdir=runs/demo --cameras=station.csv --query hall:17 --out=found
    footage embed  --workdir=runs/demo --cameras=station.csv --out=station.npz

station.csv has a line for each video: camera,video,tracks and, where needed, start
(clock time of the first frame), first_frame, classes, fps. One video needs no file:
--video=hall.mp4 --tracks=hall.txt. Tracks are those of any tracker that writes
MOTChallenge files. link writes <camera>.txt with global ids, persons.csv, persons.html
and embeddings.npz; search writes found.csv, found.html and embeddings.npz.
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import dataclasses
import os
import pathlib

import numpy as np

from data.videos import pictures as video_pictures
from reid_jax import files
from reid_jax.cli import compile_cache, ending
from reid_jax.errors import UserError
from reid_jax.footage import (
    agreement,
    appearances,
    cameras,
    flags,
    output,
    page,
    persons,
    progress,
)
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.constraints import Constraints
from reid_jax.retrieval import centering
from reid_jax.runs.run import Run
from reid_jax.scoring import calibration, metrics, scores

_PROGRAM = "python -m reid_jax.footage"


def link(run: Run, seen: Appearances, given: argparse.Namespace) -> None:
    """Links the tracks of all videos into persons, and writes them to `given.out`."""
    metric = metrics.training_metric(run.config.eval.metric).name
    threshold, notes = _threshold(run, metric, given)
    as_embedded, seen = seen, _as_compared(run, seen, given)
    times = None
    if given.overlap == "none" and (times := seen.clock()) is None:
        raise UserError("--overlap=none: give folders of pictures their fps.")
    constraints = _constraints(seen, times)
    found = persons.find(
        seen,
        constraints,
        metric=metric,
        threshold=threshold,
        num_persons=given.persons,
        memory_gb=given.memory_gb,
    )
    if given.persons:
        notes = [
            f"--persons={given.persons} makes the threshold {found.threshold:#.3g}."
        ]
    if given.labels:
        known = agreement.read_labels(given.labels, seen)
        notes += agreement.agreement(found.person, known, seen).lines()
    written = output.write_tracks(given.out, seen, found.person)
    order = np.lexsort((np.argsort(np.argsort(seen.order())), found.person))
    output.write_table(
        given.out / "persons.csv",
        ("person", *output.SEEN_AT, "distance", "note"),
        (
            (
                found.person[t],
                *output.seen_at(seen, t),
                "" if np.isnan(found.distance[t]) else f"{found.distance[t]:.5g}",
                found.note[t],
            )
            for t in order.tolist()
        ),
    )
    pairs = persons.pair_distances(seen, constraints, found)
    page.write_persons(given.out / "persons.html", seen, found, pairs, notes)
    output.write_embeddings(given.out / "embeddings.npz", as_embedded)
    for note in notes:
        print(note)
    _print_persons(seen, found)
    names = [path.name for path in written[:3]] + ["…"] * (len(written) > 3)
    names += ["persons.csv", "persons.html", "embeddings.npz"]
    print(f"written to {given.out}: {', '.join(names)}")


def search(run: Run, seen: Appearances, given: argparse.Namespace) -> None:
    """Ranks the tracks of all videos for each query, and writes them to `given.out`."""
    metric = metrics.training_metric(run.config.eval.metric).name
    as_embedded, seen = seen, _as_compared(run, seen, given)
    constraints = _constraints(seen)
    everybody = np.arange(len(seen))
    queries, shown, paths = [], [], []
    for text in given.query:
        track = _track(seen, text)
        if track is None:
            paths.append(text)
            continue
        together = constraints(everybody[[track]], everybody)[0]
        queries.append((seen.embeddings[track], text, together, track))
        shown.append(seen.pictures[track])
    if paths:
        pictures = [_picture(path) for path in paths]
        name = ", ".join(pathlib.Path(path).name for path in paths)
        nobody = np.zeros(len(seen), bool)
        embedding = run.embed([pictures])[0]
        if _is_centered(run, given):  # nobody knows the pictures' camera
            embedding = embedding - as_embedded.embeddings.mean(axis=0)
        queries.append((embedding, name, nobody, None))
        shown.append([appearances.jpeg(picture) for picture in pictures[:3]])
    found = [
        persons.search(seen, *query, metric=metric, num_results=given.top)
        for query in queries
    ]
    output.write_table(
        given.out / "found.csv",
        ("query", "rank", *output.SEEN_AT, "distance"),
        (
            (one.query, rank, *output.seen_at(seen, track), f"{distance:.5g}")
            for one in found
            for rank, (track, distance) in enumerate(
                zip(one.tracks.tolist(), one.distances.tolist(), strict=True), start=1
            )
        ),
    )
    notes = [f"{len(seen)} tracks, {metric} distance; nearest first."]
    both = list(zip(found, shown, strict=True))
    page.write_found(given.out / "found.html", seen, both, notes)
    output.write_embeddings(given.out / "embeddings.npz", as_embedded)
    for one in found:
        nearest = zip(one.tracks.tolist()[:5], one.distances.tolist(), strict=False)
        text = ", ".join(f"{seen.name(t)} ({distance:#.3g})" for t, distance in nearest)
        none = "nobody: every other track is in the picture at the same time"
        print(f"{one.query}: {text or none}")
    print(f"written to {given.out}: found.csv, found.html, embeddings.npz")


def embed(run: Run, seen: Appearances, given: argparse.Namespace) -> None:
    """Writes the embeddings of all tracks to the file `given.out`."""
    output.write_embeddings(given.out, seen)
    dim = seen.embeddings.shape[1]
    print(f"{len(seen)} tracks, {dim} numbers each, written to {given.out}")


def _threshold(run: Run, metric: str, given) -> tuple[float | None, list[str]]:
    """The threshold that the given ask for, and what it stands for."""
    if given.persons:
        return None, []
    if given.threshold is not None:
        return given.threshold, [f"threshold {given.threshold:g}, as given."]
    rate = flags.FALSE_LINKS if given.false_links is None else given.false_links
    known = calibration.read_calibration(run.folder, metric, weights=run.fingerprint)
    is_centered = _is_centered(run, given)
    if is_centered != (scores.CENTERED in known.conditions):
        raise UserError(
            f"{run.folder} holds thresholds for embeddings "
            f"{'with' if is_centered else 'without'} the mean of their camera: "
            f"python evaluate.py --workdir={run.workdir} "
            f"--config.eval.center_cameras={is_centered} makes those that fit here."
        )
    threshold, tpr = known.threshold(rate)
    where = ", ".join([known.dataset, *known.conditions])
    return threshold, [
        f"{metric} distance up to {threshold:#.4g}: on {where} that links "
        f"{100 * rate:g} % of the pairs of two persons, and {100 * tpr:.1f} % of the "
        "pairs of one. On other footage the rates are other ones: look at the "
        "histogram in persons.html."
    ]


def _is_centered(run: Run, given: argparse.Namespace) -> bool:
    return given.center_cameras or run.config.eval.center_cameras


def _as_compared(run: Run, seen: Appearances, given) -> Appearances:
    """The tracks with the embeddings that distances are computed from."""
    if not _is_centered(run, given):
        return seen
    cameras_of = np.array([seen.camera(number) for number in range(len(seen))])
    _, camids = np.unique(cameras_of, return_inverse=True)
    centered = centering.center_cameras(seen.embeddings, camids)
    return dataclasses.replace(seen, embeddings=centered)


def _constraints(seen: Appearances, times: np.ndarray | None = None) -> Constraints:
    names = [seen.camera(number) for number in range(len(seen))]
    _, of_camera = np.unique(names, return_inverse=True)
    return Constraints(seen.frames, seen.recording, of_camera, times)


def _track(seen: Appearances, text: str) -> int | None:
    """The track that camera:track names; None where the text is a file's path."""
    camera, _, track = text.rpartition(":")
    if camera not in {recording.camera for recording in seen.recordings}:
        if os.path.exists(text):
            return None
        known = ", ".join(dict.fromkeys(r.camera for r in seen.recordings))
        raise UserError(
            f"--query {text}: neither a picture that is there nor CAMERA:TRACK; "
            f"cameras: {known}."
        )
    numbers = [n for n in range(len(seen)) if seen.name(n) == text]
    if not numbers:
        raise UserError(
            f"--query {text}: camera {camera} has no track {track} of at least "
            "--min_frames boxes."
        )
    if len(numbers) > 1:
        raise UserError(
            f"--query {text}: {len(numbers)} videos of camera {camera} have a track "
            f"{track}; give the videos cameras of their own."
        )
    return numbers[0]


def _picture(path: str) -> np.ndarray:
    try:
        return video_pictures.read(pathlib.Path(path))
    except UserError as error:
        raise UserError(f"--query {error}") from None


def _print_persons(seen: Appearances, found: persons.Persons) -> None:
    groups = found.members().values()
    linked = [tracks for tracks in groups if len(tracks) > 1]
    several = [len({seen.camera(t) for t in tracks.tolist()}) > 1 for tracks in linked]
    unsure = sum(map(bool, found.note))
    print(
        f"{len(seen)} tracks are {found.num_persons} persons: {len(linked)} with "
        f"several tracks, {sum(several)} of them in several cameras"
        + f"; {unsure} tracks are uncertain"
        * (unsure > 0)
    )


def _recordings(given: argparse.Namespace) -> list[cameras.Recording]:
    one = (given.video, given.tracks)
    if given.cameras and not any(one):
        return cameras.read(given.cameras)
    if given.cameras or not all(one):
        raise UserError("--cameras=FILE is needed, or --video=… and --tracks=….")
    return cameras.single(
        *one,
        first_frame=given.first_frame,
        classes=given.classes,
        fps=given.fps,
    )


def _run(given: argparse.Namespace) -> None:
    recordings = _recordings(given)
    run = Run(given.workdir)
    _check(run, recordings, given)
    settings = appearances.Settings(given.min_frames, given.every)
    with progress.shown() as show:
        seen = appearances.embed(
            run,
            recordings,
            settings,
            kept=run.workdir / "footage",
            progress=show,
        )
    if not len(seen):
        raise UserError(
            f"No track has {given.min_frames} boxes; a lower --min_frames may help."
        )
    {"link": link, "search": search, "embed": embed}[given.command](run, seen, given)


def _check(run: Run, recordings, given: argparse.Namespace) -> None:
    """Says what is wrong before the long work."""
    if given.command == "link":
        _threshold(run, metrics.training_metric(run.config.eval.metric).name, given)
        if given.overlap == "none" and any(each.start is None for each in recordings):
            raise UserError(
                "--overlap=none needs a clock: give every line of --cameras a start."
            )
    folder = given.out
    if given.command == "embed":
        folder = given.out.parent
        if given.out.suffix != ".npz":
            raise UserError(f"--out={given.out}: a name that ends in .npz is needed.")
    probe = folder / f".{os.getpid()}"
    files.write_text(probe, "")  # fails where nothing can be written
    probe.unlink()


def main(arguments: list[str] | None = None) -> None:
    """The command line; SystemExit with status 1 for what the user can mend."""
    given = flags.parser(__doc__).parse_args(arguments)
    ending.quieten()
    compile_cache.enable()
    paths = [*vars(given).values(), *getattr(given, "query", ())]
    with ending.one_line_errors(paths, program=_PROGRAM):
        _run(given)


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": what was embedded is kept")
