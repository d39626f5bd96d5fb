"""One page of persons or search results, which needs no other file."""

import io
import pathlib

import numpy as np

from reid_jax import files
from reid_jax.footage.appearances import Appearances
from reid_jax.footage.persons import Found, Persons
from reid_jax.report import html, style

_TEMPLATE = pathlib.Path(__file__).with_name("page.html")
_MOST_PERSONS, _MOST_TRACKS = 500, 40
"""Rows of a page, and tracks of a row; the table has them all."""


def write_persons(
    path: pathlib.Path,
    seen: Appearances,
    persons: Persons,
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray],
    notes: list[str],
) -> None:
    """Writes a row for each linked person, then the tracks that were not linked.

    `notes` are lines about how the threshold was found.
    """
    rank = np.argsort(seen.order())
    several, alone = [], []
    for person, tracks in persons.members().items():
        tracks = tracks[np.argsort(rank[tracks])]
        if len(tracks) == 1:
            (track,) = tracks.tolist()
            alone.append(_figure(seen, track, f"person {person}", persons.note[track]))
            continue
        shown = [
            _figure(seen, t, f"{persons.distance[t]:#.3g}", persons.note[t])
            for t in tracks[:_MOST_TRACKS].tolist()
        ]
        cameras = len({seen.camera(t) for t in tracks.tolist()})
        title = f"Person {person}: {len(tracks)} tracks, {cameras} cameras"
        several.append((title.replace("1 cameras", "1 camera"), shown, len(tracks)))
    hidden = max(0, len(several) - _MOST_PERSONS)
    _write(
        path,
        title=f"{persons.num_persons} persons in {len(seen)} tracks",
        notes=notes,
        histogram=histogram(pairs, persons.threshold),
        rows=several[:_MOST_PERSONS],
        num_hidden=hidden,
        alone=alone[:_MOST_PERSONS],
        num_alone=len(alone),
    )


def write_found(
    path: pathlib.Path,
    seen: Appearances,
    found: list[tuple[Found, list[bytes]]],
    notes: list[str],
) -> None:
    """Writes a row for each query: its pictures, then the tracks nearest to it."""
    rows = []
    for one, pictures in found:
        figures = [
            {
                "pictures": _uris(pictures),
                "title": "query",
                "lines": [one.query],
                "note": "",
            }
        ]
        figures += [
            _figure(seen, track, f"{distance:#.3g}")
            for track, distance in zip(
                one.tracks.tolist(), one.distances.tolist(), strict=True
            )
        ]
        title = f"{one.query}: the nearest {len(one.tracks)} tracks"
        if one.num_together:
            others = "other is" if one.num_together == 1 else "others are"
            title += f" ({one.num_together} {others} there at the same time)"
        rows.append((title, figures, len(figures)))
    _write(
        path,
        title="Found",
        notes=notes,
        histogram=None,
        rows=rows,
        num_hidden=0,
        alone=[],
        num_alone=0,
    )


def _write(path: pathlib.Path, **values) -> None:
    template = html.environment().from_string(_TEMPLATE.read_text(encoding="utf-8"))
    files.write_text(path, template.render(**values))


def _figure(seen: Appearances, track: int, distance: str, note: str = "") -> dict:
    recording = seen.recordings[seen.recording[track]]
    first, last = map(recording.time, seen.seconds[track].tolist())
    when = f"{first} to {last}" if first else f"frames {seen.frames[track][0]} to "
    if not first:
        when += str(seen.frames[track][-1])
    return {
        "pictures": _uris(seen.pictures[track]),
        "title": seen.name(track),
        "lines": [when, f"distance {distance}" if distance[0].isdigit() else distance],
        "note": note,
    }


def _uris(pictures: list[bytes]) -> list[str]:
    return [html.data_uri(picture, "jpeg") for picture in pictures]


def histogram(pairs: tuple[np.ndarray, ...], threshold: float) -> str:
    """The distances of linked, other and forbidden pairs, and the threshold."""
    names = ("linked", "not linked", "at the same time: two persons")
    ends = [values.max() for values in pairs if len(values)]
    bins = np.linspace(0, max([threshold * 1.1, *ends]) or 1, 61)
    canvas = style.new_figure(7, 2.6)
    axes = canvas.subplots()
    looks = zip(names, pairs, style.COLORS, style.DASHES, strict=False)
    for name, values, color, dashes in looks:
        if len(values):
            counts, _ = np.histogram(values, bins)
            share = 100 * counts / counts.sum()
            label = f"{name} ({len(values):,} pairs)"
            axes.stairs(share, bins, color=color, linestyle=dashes, label=label)
    axes.axvline(threshold, color="black", linewidth=1.5)
    axes.annotate(
        f" threshold {threshold:#.3g}",
        (threshold, 1),
        xycoords=("data", "axes fraction"),
        va="top",
    )
    axes.set(xlabel="distance", ylabel="% of the pairs", xlim=(0, bins[-1]))
    style.finish(axes, ncols=3, fontsize="small")
    file = io.BytesIO()
    canvas.savefig(file, format="png", bbox_inches="tight")
    return html.data_uri(file.getvalue(), "png")
