"""`footage search`: the tracks of all videos that are nearest to a query."""

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
    """Other tracks that share a frame with the query: they are other people."""
    pictures: list[bytes]
    """Of the query, as JPEG."""


def check(run: Run, plan: Plan, given: argparse.Namespace) -> None:
    """Raises a UserError for what can be known to be wrong before the long work."""
    _read_queries(plan, given)
    if given.threshold is not None or given.false_links is not None:
        comparing.threshold(run, given)
    output.check(given.out, FILES, plan, (given.cameras, *given.query))


def search(run: Run, plan: Plan, seen: Appearances, given: argparse.Namespace) -> None:
    """Ranks the tracks of all videos for each query, and writes them to `given.out`."""
    metric = comparing.metric(run)
    compared = comparing.as_compared(run, seen, given)
    constraints = comparing.constraints(seen)
    everybody, numbers = np.arange(len(seen)), seen.numbers()
    named, images = _read_queries(plan, given)
    found = []
    for text, where in named.items():
        track = numbers.get(where)
        if track is None:
            raise UserError(f"--query {text}: no box of it is inside the picture.")
        together = constraints(everybody[[track]], everybody)[0]
        others = np.flatnonzero(~together & (everybody != track))
        nearest = _nearest(compared, compared.embeddings[track], others, metric, given)
        shown = seen.pictures[track]
        found.append(Found(text, *nearest, int(together.sum()), shown))
    if images:
        query = run.embed([list(images.values())])[0]
        query = comparing.query_as_compared(run, query, seen, given)
        nearest = _nearest(compared, query, everybody, metric, given)
        shown = [html.jpeg(strips.resize(image)) for image in list(images.values())[:3]]
        found.append(Found(", ".join(images), *nearest, 0, shown))
    limit, notes = _limit(run, given)
    with output.together(given.out) as folder:
        _write_table(folder / "found.csv", seen, found, limit)
        page.write_found(folder / "found.html", seen, found, limit, notes)
        output.write_embeddings(folder / "embeddings.npz", seen)
    for note in notes:
        print(note)
    for one in found:
        nearest = zip(one.tracks.tolist()[:5], one.distances.tolist(), strict=False)
        text = ", ".join(f"{seen.name(t)} ({distance:.3g})" for t, distance in nearest)
        nobody = "nobody: every other track is in the picture at the same time"
        print(f"{one.query}: {text or nobody}")
    print(f"written to {given.out}: {', '.join(FILES)}")


def _read_queries(
    plan: Plan, given: argparse.Namespace
) -> tuple[dict[str, tuple[int, int]], dict[str, np.ndarray]]:
    """The tracks and the pictures that --query names, each by its text."""
    named, images = {}, {}
    for text in given.query:
        try:
            track = plan.find(text)
        except UserError as error:
            raise UserError(f"--query {error}") from None
        if track is not None:
            named[text] = track
            continue
        if not os.path.exists(text):
            known = ", ".join(recording.name for recording in plan.recordings)
            raise UserError(
                f"--query {text}: neither a picture that is there nor CAMERA:TRACK; "
                f"cameras: {known}."
            )
        try:
            images[pathlib.Path(text).name] = pictures.read(pathlib.Path(text))
        except UserError as error:
            raise UserError(f"--query {error}") from None
    return named, images


def _nearest(
    compared: Appearances, query, allowed, metric: str, given
) -> tuple[np.ndarray, np.ndarray]:
    """The `given.top` nearest of the allowed tracks, and their distances."""
    if not len(allowed):
        return allowed, np.zeros(0)
    rows = compared.embeddings[allowed]
    k = min(given.top, len(allowed))
    found, nearest = distances.top_k(query[None], rows, k, metric=metric)
    return allowed[nearest[0]], found[0]


def _limit(run: Run, given: argparse.Namespace) -> tuple[float | None, list[str]]:
    """The threshold beyond which a track is probably somebody else, where known."""
    try:
        limit, note = comparing.threshold(run, given)
    except UserError as error:
        if given.threshold is not None or given.false_links is not None:
            raise
        return None, [f"No threshold is known: {error}"]
    return limit, [note]


def _write_table(path: pathlib.Path, seen: Appearances, found, limit) -> None:
    rows = []
    for one in found:
        pairs = zip(one.tracks.tolist(), one.distances.tolist(), strict=True)
        for rank, (track, distance) in enumerate(pairs, start=1):
            same = "" if limit is None else ("no", "yes")[distance <= limit]
            where = output.seen_at(seen, track)
            rows.append((one.query, rank, *where, f"{distance:.5g}", same))
    header = ("query", "rank", *output.SEEN_AT, "distance", "within_threshold")
    scores.write_csv(path, [header, *rows])
