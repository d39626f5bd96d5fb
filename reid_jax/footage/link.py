"""`footage link`: finds the same persons in all videos."""

import argparse
import pathlib

import numpy as np

from reid_jax import quantities
from reid_jax.errors import UserError
from reid_jax.footage import agreement, comparing, flags, output, page, persons
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.tracks import Plan
from reid_jax.retrieval import linking
from reid_jax.runs.run import Run
from reid_jax.scoring import scores

FILES = ("persons.csv", "persons.html", "embeddings.npz")


def check(run: Run, plan: Plan, given: argparse.Namespace) -> None:
    """Raises a UserError for problems that can be found before the long work."""
    if given.persons is None:
        comparing.threshold(run, given)
    names = [f"{recording.name}.txt" for recording in plan.recordings]
    others = (given.cameras, given.labels)
    output.check(given.out, [*names, *FILES], plan, others)
    if given.overlap == "none" and any(r.start is None for r in plan.recordings):
        raise UserError(
            "--overlap=none needs a clock: give every line of --cameras a start."
        )
    if given.labels:
        agreement.read_labels(given.labels, plan)
    num = plan.num_tracks
    if given.persons is not None:
        linking.check_number(given.persons, num, given.memory_gb)
    elif linking.gigabytes(num) > given.memory_gb:
        size = quantities.three_digits(linking.gigabytes(num))
        print(
            f"note: {num:,} tracks take {size} GB if the threshold connects them all; "
            f"--memory_gb={given.memory_gb:g} allows "
            f"{linking.most_connected(given.memory_gb):,} connected tracks."
        )


def link(run: Run, plan: Plan, seen: Appearances, given: argparse.Namespace) -> None:
    """Links the tracks of all videos into persons, and writes them to `given.out`."""
    metric = comparing.metric(run)
    compared = comparing.as_compared(run, seen, given)
    times = None
    if given.overlap == "none" and (times := seen.clock()) is None:
        raise UserError("--overlap=none: give folders of pictures their fps.")
    constraints = comparing.constraints(seen, times)
    notes = []
    threshold = None
    if given.persons is None:
        threshold, note = comparing.threshold(run, given)
        notes.append(note)
    linked_persons = persons.find(
        compared,
        constraints,
        metric=metric,
        threshold=threshold,
        num_persons=given.persons,
        memory_gb=given.memory_gb,
    )
    if given.persons is not None:
        notes.append(
            f"{given.persons} persons make the threshold "
            f"{linked_persons.threshold:.4g}."
        )
    if given.labels:
        labels = agreement.read_labels(given.labels, plan)
        notes += agreement.agreement(linked_persons.person, labels, seen).lines()
    pairs = persons.pair_distances(compared, constraints, linked_persons)
    with output.together(given.out) as folder:
        output.write_tracks(folder, plan, seen, linked_persons.person)
        _write_table(folder / "persons.csv", seen, linked_persons)
        page.write_persons(folder / "persons.html", seen, linked_persons, pairs, notes)
        output.write_embeddings(folder / "embeddings.npz", seen)
    for note in notes:
        print(note)
    _print_persons(seen, linked_persons)
    names = [f"{recording.name}.txt" for recording in plan.recordings]
    printed_names = [*names[:3], *["…"] * (len(names) > 3), *FILES]
    print(f"written to {given.out}: {', '.join(printed_names)}")
    query = f"--query={seen.name(0)}"
    command = flags.command_line(given, "search", query, "--out=found")
    print(f"\nnext, see the persons: {given.out / 'persons.html'} (for any browser)")
    print(f"or find a track again, such as {seen.name(0)}:\n  {command}")


def _write_table(
    path: pathlib.Path, seen: Appearances, linked_persons: persons.Persons
) -> None:
    rank = np.argsort(seen.order())
    rows = (
        (
            linked_persons.person[track],
            *output.seen_at(seen, track),
            ""
            if np.isnan(linked_persons.distance[track])
            else f"{linked_persons.distance[track]:.5g}",
            linked_persons.note[track],
        )
        for track in np.lexsort((rank, linked_persons.person)).tolist()
    )
    header = ("person", *output.SEEN_AT, "distance", "note")
    scores.write_csv(path, [header, *rows])


def _print_persons(seen: Appearances, linked_persons: persons.Persons) -> None:
    linked = [tracks for tracks in linked_persons.members().values() if len(tracks) > 1]
    cameras = seen.cameras()
    num_across = sum(len(set(cameras[tracks].tolist())) > 1 for tracks in linked)
    print(
        f"tracks: {len(seen)}, persons: {linked_persons.num_persons}, with several "
        f"tracks: {len(linked)}, in several cameras: {num_across}, uncertain tracks: "
        f"{sum(map(bool, linked_persons.note))}"
    )
