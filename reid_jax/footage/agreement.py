"""Scores links against labelled persons: pairs, B³ and IDF1."""

import csv
import dataclasses
import os

import numpy as np
from jaxtyping import Int

from data.sources import checks
from reid_jax.errors import UserError
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.tracks import Plan

_COLUMNS = ["camera", "track", "person"]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Three (precision, recall, F1) in [0, 1]; nan for a division by zero."""

    num_tracks: int
    num_persons: int
    pairs: tuple[float, float, float]
    """Over pairs of tracks. Precision: share of the linked pairs that show one person.
    Recall: share of the pairs of one person that are linked."""
    b_cubed: tuple[float, float, float]
    """Means over the tracks. Precision: share of the tracks linked to it that show its
    person. Recall: share of its person's tracks that are linked to it (Bagga & Baldwin
    1998)."""
    identity: tuple[float, float, float] | None
    """IDP, IDR and IDF1 of the boxes (Ristani et al. 2016); None without trackeval."""

    def lines(self) -> list[str]:
        """Formats the scores as lines of text, in percent."""
        rows = [("pairs", self.pairs), ("B³", self.b_cubed)]
        rows += [("identity (IDP, IDR, IDF1)", self.identity)] if self.identity else []
        texts = [
            f"{name}: precision {_percent(p)}, recall {_percent(r)}, F1 {_percent(f1)}"
            for name, (p, r, f1) in rows
        ]
        if self.identity is None:
            texts.append("IDF1 is left out: pip install trackeval")
        return [
            f"{self.num_tracks} tracks with a label, {self.num_persons} persons",
            *texts,
        ]


def read_labels(path: str | os.PathLike, plan: Plan) -> dict[tuple[int, int], str]:
    """Reads the person of each labelled track, by (recording, track id).

    The file is CSV with the header camera,track,person. `camera` is the name of a
    recording, or a camera if only one of its videos has the track.

    Raises:
        UserError: lists lines without three fields, unknown cameras and tracks, tracks
            in several videos, and tracks with two persons.
    """
    persons: dict[tuple[int, int], str] = {}
    problems = []
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.reader(file)
        header = [field.strip() for field in next(reader, [])]
        if header[:3] != _COLUMNS:
            raise UserError(f"{path} line 1: the header has to be camera,track,person.")
        for fields in reader:
            if not any(map(str.strip, fields)):
                continue
            place = f"line {reader.line_num}"
            camera, track, person = [*map(str.strip, fields), "", "", ""][:3]
            try:
                track_key = plan.find(f"{camera}:{track}") if person else None
            except UserError as error:
                problems.append(f"{place}: {error}")
                continue
            if not person:
                text = ",".join(fields)
                problems.append(f"{place}: {text!r} is not camera,track,person")
            elif track_key is None:
                problems.append(f"{place}: there is no camera {camera}")
            elif persons.setdefault(track_key, person) != person:
                problems.append(f"{place}: {camera}:{track} has another person already")
    if problems:
        raise UserError(checks.listed(str(path), problems))
    if not persons:
        raise UserError(f"{path}: no track has a label.")
    return persons


def agreement(
    labels: Int[np.ndarray, "N"], persons: dict[tuple[int, int], str], seen: Appearances
) -> Agreement:
    """Compares the linked persons of tracks with the labelled persons.

    Labelled tracks without a box in the picture do not count.

    Args:
        labels: the linked person of each track in `seen`.
        persons: the labelled person by (recording, track id), from `read_labels`.
        seen: the embedded tracks.

    Raises:
        UserError: no labelled track has a box in the picture.
    """
    numbers_by_key = seen.numbers()
    person_names = {
        numbers_by_key[key]: name
        for key, name in persons.items()
        if key in numbers_by_key
    }
    if not person_names:
        raise UserError("No labelled track has a box inside the picture of its video.")
    from sklearn.metrics import cluster  # takes a second to import

    numbers = np.array(sorted(person_names), int)
    names = [person_names[number] for number in numbers.tolist()]
    known_persons = np.unique(names, return_inverse=True)[1]
    linked = np.unique(labels[numbers], return_inverse=True)[1]
    return Agreement(
        len(numbers),
        len(set(names)),
        _pair_scores(cluster.pair_confusion_matrix(known_persons, linked)),
        _b_cubed(cluster.contingency_matrix(known_persons, linked).astype(float)),
        _identity(known_persons, linked, [seen.frames[number] for number in numbers]),
    )


def _pair_scores(num_pairs) -> tuple[float, float, float]:
    """Computes precision, recall and F1 over pairs of tracks.

    `num_pairs[i][j]` counts the pairs of one person if i=1, and linked if j=1.
    """
    (_, false_links), (missed, right) = num_pairs
    return _with_f1(_share(right, right + false_links), _share(right, right + missed))


def _b_cubed(common) -> tuple[float, float, float]:
    """Computes B³ precision, recall and F1.

    `common[i, j]` counts the tracks of labelled person i and linked person j.
    """
    num = common.sum()
    precision = np.sum(common**2 / common.sum(axis=0)) / num
    recall = np.sum(common**2 / common.sum(axis=1, keepdims=True)) / num
    return _with_f1(precision, recall)


def _identity(known, linked, frames) -> tuple[float, float, float] | None:
    """Computes IDP, IDR and IDF1 with trackeval; None if it is not installed."""
    try:
        from trackeval.metrics import identity
    except ImportError:
        return None
    # Each box is a separate time step: matches depend only on how often ids co-occur.
    num_boxes = [len(numbers) for numbers in frames]
    steps = [
        (np.array([person]), np.array([linked_person]))
        for person, linked_person, num in zip(known, linked, num_boxes, strict=True)
        for _ in range(num)
    ]
    result = identity.Identity({"PRINT_CONFIG": False}).eval_sequence(
        {
            "num_gt_dets": len(steps),
            "num_tracker_dets": len(steps),
            "num_gt_ids": int(known.max()) + 1,
            "num_tracker_ids": int(linked.max()) + 1,
            "gt_ids": [step[0] for step in steps],
            "tracker_ids": [step[1] for step in steps],
            "similarity_scores": [np.ones((1, 1))] * len(steps),
        }
    )
    return tuple(float(result[name]) for name in ("IDP", "IDR", "IDF1"))


def _percent(share: float) -> str:
    return "unknown" if share != share else f"{100 * share:.1f} %"


def _with_f1(precision, recall) -> tuple[float, float, float]:
    precision, recall = float(precision), float(recall)
    return precision, recall, _share(2 * precision * recall, precision + recall)


def _share(part, whole) -> float:
    return float(part / whole) if whole else float("nan")
