"""`footage search`: finds the tracks of all videos that are nearest to a query."""

import argparse
import dataclasses
import os
import pathlib

import numpy as np

from data.videos import pictures
from reid_jax.errors import UserError
from reid_jax.footage import comparing, output, page
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.tracks import Plan
from reid_jax.report import html, strips
from reid_jax.retrieval import distances
from reid_jax.runs.run import Run
from reid_jax.scoring import scores

FILES = ("found.csv", "found.html", "embeddings.npz")


@dataclasses.dataclass(frozen=True)
class Found:
    """The tracks nearest to a query, nearest first."""

    query: str
    tracks: np.ndarray  # int [K], positions
    distances: np.ndarray  # float [K]
    num_together: int
    """Number of tracks that share a frame with the query: they are other people."""
    pictures: list[bytes]
    """Pictures of the query, as JPEG."""


def check(run: Run, plan: Plan, given: argparse.Namespace) -> None:
    """Raises a UserError for problems that can be found before the long work."""
    _read_queries(plan, given)
    if given.threshold is not None or given.false_links is not None:
        comparing.threshold(run, given)
    output.check(given.out, FILES, plan, (given.cameras, *given.query))


def search(run: Run, plan: Plan, seen: Appearances, given: argparse.Namespace) -> None:
    """Ranks the tracks of all videos for each query, and writes them to `given.out`."""
    metric = comparing.metric(run)
    compared = comparing.as_compared(run, seen, given)
    constraints = comparing.constraints(seen)
    all_tracks, numbers = np.arange(len(seen)), seen.numbers()
    query_tracks, images = _read_queries(plan, given)
    results = []
    for text, key in query_tracks.items():
        track = numbers.get(key)
        if track is None:
            raise UserError(f"--query {text}: none of its boxes is inside the picture.")
        is_together = constraints(all_tracks[[track]], all_tracks)[0]
        others = np.flatnonzero(~is_together & (all_tracks != track))
        nearest = _nearest(compared, compared.embeddings[track], others, metric, given)
        query_pictures = seen.pictures[track]
        results.append(Found(text, *nearest, int(is_together.sum()), query_pictures))
    if images:
        query = run.embed([list(images.values())])[0]
        query = comparing.query_as_compared(run, query, seen, given)
        nearest = _nearest(compared, query, all_tracks, metric, given)
        query_pictures = [
            html.jpeg(strips.resize(image)) for image in list(images.values())[:3]
        ]
        results.append(Found(", ".join(images), *nearest, 0, query_pictures))
    limit, notes = _limit(run, given)
    with output.together(given.out) as folder:
        _write_table(folder / "found.csv", seen, results, limit)
        page.write_found(folder / "found.html", seen, results, limit, notes)
        output.write_embeddings(folder / "embeddings.npz", seen)
    for note in notes:
        print(note)
    for result in results:
        nearest = zip(
            result.tracks.tolist()[:5], result.distances.tolist(), strict=False
        )
        text = ", ".join(f"{seen.name(t)} ({distance:.3g})" for t, distance in nearest)
        nobody = "nobody: every other track is in the picture at the same time"
        print(f"{result.query}: {text or nobody}")
    print(f"written to {given.out}: {', '.join(FILES)}")
    print(f"\nnext, see the result: {given.out / 'found.html'} (for any browser)")


def _read_queries(
    plan: Plan, given: argparse.Namespace
) -> tuple[dict[str, tuple[int, int]], dict[str, np.ndarray]]:
    """Reads the tracks and the pictures that --query names, by their texts."""
    query_tracks, images = {}, {}
    for text in given.query:
        try:
            track = plan.find(text)
        except UserError as error:
            raise UserError(f"--query {error}") from None
        if track is not None:
            query_tracks[text] = track
            continue
        if not os.path.exists(text):
            names = ", ".join(recording.name for recording in plan.recordings)
            raise UserError(
                f"--query {text}: neither a picture that is there nor CAMERA:TRACK; "
                f"cameras: {names}."
            )
        try:
            images[pathlib.Path(text).name] = pictures.read(pathlib.Path(text))
        except UserError as error:
            raise UserError(f"--query {error}") from None
    return query_tracks, images


def _nearest(
    compared: Appearances, query, allowed, metric: str, given
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the `given.top` nearest allowed tracks, and their distances."""
    if not len(allowed):
        return allowed, np.zeros(0)
    rows = compared.embeddings[allowed]
    k = min(given.top, len(allowed))
    nearest_distances, nearest = distances.top_k(query[None], rows, k, metric=metric)
    return allowed[nearest[0]], nearest_distances[0]


def _limit(run: Run, given: argparse.Namespace) -> tuple[float | None, list[str]]:
    """Returns the threshold, or None if there is none, and sentences about it."""
    try:
        limit, note = comparing.threshold(run, given)
    except UserError as error:
        if given.threshold is not None or given.false_links is not None:
            raise
        return None, [f"No threshold is known: {error}"]
    return limit, [note]


def _write_table(path: pathlib.Path, seen: Appearances, results, limit) -> None:
    rows = []
    for result in results:
        pairs = zip(result.tracks.tolist(), result.distances.tolist(), strict=True)
        for rank, (track, distance) in enumerate(pairs, start=1):
            is_within = "" if limit is None else ("no", "yes")[distance <= limit]
            columns = output.seen_at(seen, track)
            rows.append((result.query, rank, *columns, f"{distance:.5g}", is_within))
    header = ("query", "rank", *output.SEEN_AT, "distance", "within_threshold")
    scores.write_csv(path, [header, *rows])
