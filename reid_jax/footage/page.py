"""Writes persons or search results as a page that needs no other file."""

import io
import pathlib

from reid_jax import files
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.persons import PairDistances, Persons
from reid_jax.report import html, style

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")
_MAX_PERSONS, _MAX_TRACKS = 500, 40
"""Maximum rows of a page, and tracks of a row; the CSV table has all."""


def write_persons(
    path: pathlib.Path,
    seen: Appearances,
    persons: Persons,
    pairs: PairDistances,
    notes: list[str],
) -> None:
    """Writes a row for each linked person, then the tracks that were not linked.

    Args:
        path: the page to write.
        seen: the tracks.
        persons: the person of each track.
        pairs: the distances for the histogram.
        notes: sentences that explain the threshold.
    """
    rank = {track: place for place, track in enumerate(seen.order().tolist())}
    cameras = seen.cameras()
    linked, unlinked = [], []
    for person, tracks in persons.members().items():
        tracks = sorted(tracks.tolist(), key=rank.__getitem__)
        if len(tracks) == 1:
            note = persons.note[tracks[0]]
            unlinked.append(_figure(seen, tracks[0], f"person {person}", note))
            continue
        figures = [
            _figure(
                seen,
                track,
                f"{persons.distance[track]:.3g} from the others",
                persons.note[track],
            )
            for track in tracks[:_MAX_TRACKS]
        ]
        num = len({int(cameras[track]) for track in tracks})
        title = f"Person {person}: {len(tracks)} tracks, {num} camera{'s' * (num > 1)}"
        linked.append((title, figures, len(tracks)))
    explanation = (
        "The histogram shows where the pairs of tracks of this footage lie. "
        "Under each track: camera and track, when, and its mean distance to the "
        "person's other tracks. It is uncertain where that is above nine tenths of the "
        "threshold, or where another person whom it could be is as near."
    )
    _write(
        path,
        title=f"{persons.num_persons} persons in {len(seen)} tracks",
        notes=[*notes, explanation],
        histogram=histogram(pairs, persons.threshold),
        histogram_note=_sampled(pairs, len(seen)),
        rows=linked[:_MAX_PERSONS],
        num_hidden=max(0, len(linked) - _MAX_PERSONS),
        alone=unlinked[:_MAX_PERSONS],
        num_alone=len(unlinked),
        table="persons.csv",
    )


def write_found(
    path: pathlib.Path,
    seen: Appearances,
    found: list,
    limit: float | None,
    notes: list[str],
) -> None:
    """Writes a row for each `search.Found`: the query, then the nearest tracks.

    Tracks farther than the threshold `limit` are marked.
    """
    rows = []
    for result in found:
        query = {"pictures": _uris(result.pictures), "title": "query", "note": ""}
        figures = [query | {"lines": [result.query]}]
        pairs = zip(result.tracks.tolist(), result.distances.tolist(), strict=True)
        for track, distance in pairs:
            is_far = limit is not None and distance > limit
            note = "beyond the threshold" * is_far
            figures.append(_figure(seen, track, f"distance {distance:.3g}", note))
        title = f"{result.query}: the nearest {len(result.tracks)} tracks"
        if result.num_together:
            others = "other is" if result.num_together == 1 else "others are"
            title += f" ({result.num_together} {others} there at the same time)"
        rows.append((title, figures, len(figures)))
    _write(
        path,
        title=f"Searched in {len(seen)} tracks",
        notes=notes,
        histogram=None,
        histogram_note="",
        rows=rows,
        num_hidden=0,
        alone=[],
        num_alone=0,
        table="found.csv",
    )


def _write(path: pathlib.Path, **values) -> None:
    template = html.environment().from_string(_TEMPLATE.read_text(encoding="utf-8"))
    files.write_text(path, template.render(**values))


def _figure(seen: Appearances, track: int, line: str, note: str = "") -> dict:
    recording = seen.of(track)
    first, last = map(recording.time, seen.seconds[track].tolist())
    if not first:
        first, last = (f"frame {n}" for n in seen.first_and_last(track))
    day, _, time = last.partition(" ")
    if time and first.startswith(f"{day} "):
        last = time  # do not repeat the day
    return {
        "pictures": _uris(seen.pictures[track]),
        "title": seen.name(track),
        "lines": [f"{first} to {last}", line],
        "note": note,
    }


def _uris(pictures: list[bytes]) -> list[str]:
    return [html.data_uri(picture, "jpeg") for picture in pictures]


def _sampled(pairs: PairDistances, num_tracks: int) -> str:
    if pairs.num_sampled == num_tracks:
        return "All pairs of tracks."
    return f"Pairs of {pairs.num_sampled:,} tracks with all {num_tracks:,}."


def histogram(pairs: PairDistances, threshold: float) -> str:
    """Draws the distances of linked, other and forbidden pairs, and the threshold.

    Returns:
        The picture as a data URI.
    """
    canvas = style.new_figure(7, 2.6)
    axes = canvas.subplots()
    styled_counts = zip(pairs.counts.items(), style.COLORS, style.DASHES, strict=False)
    for (name, counts), color, dashes in styled_counts:
        if total := counts.sum():
            label = f"{name} ({total:,} pairs)"
            share = 100 * counts / total
            axes.stairs(share, pairs.edges, color=color, linestyle=dashes, label=label)
    axes.axvline(threshold, color="black", linewidth=1.5)
    axes.annotate(
        f" threshold {threshold:.3g}",
        (threshold, 1),
        xycoords=("data", "axes fraction"),
        va="top",
    )
    axes.set(xlabel="distance", ylabel="% of the pairs", xlim=(0, pairs.edges[-1]))
    if any(counts.any() for counts in pairs.counts.values()):
        style.finish(axes, ncols=3, fontsize="small")
    file = io.BytesIO()
    canvas.savefig(file, format="png", bbox_inches="tight")
    return html.data_uri(file.getvalue(), "png")
