"""Rank the tracks of a video by a trained run: who comes back later?

python docs/rank_video.py --workdir=runs/demo --video=vtest.avi --tracks=tracks.txt

`tracks` is a tracker's output in MOTChallenge format: frame,id,left,top,width,height,…
Every track is embedded; each of a few is a query, its gallery the tracks that share no
frame with it, since nobody is in two places at once. Writes a picture and a table.
"""

import pathlib
import sys

import numpy as np
from absl import flags

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data.videos import cutting, mot
from reid_jax import files
from reid_jax.cli import flags as cli_flags
from reid_jax.errors import UserError
from reid_jax.report import strips
from reid_jax.retrieval import distances
from reid_jax.runs.run import Run

_NUM_QUERIES = 8


def rank_video(
    workdir: str, video: str, tracks: str, out: pathlib.Path, min_frames: int
) -> None:
    """Embed the tracks of at least `min_frames` boxes; draw what is nearest to some."""
    by_id = mot.read_tracks(tracks).by_id
    tracklets = cutting.cut_tracks(video, by_id, min_frames=min_frames)
    if len(tracklets) < 2:
        raise UserError(
            f"{tracks} has {len(tracklets)} tracks of at least {min_frames} boxes; two "
            "are needed. A lower --min_frames may help."
        )
    embeddings = Run(workdir).embed([tracklet.crops for tracklet in tracklets])
    matrix = np.asarray(distances.l2(embeddings, embeddings))
    rows = _ranked_rows(tracklets, matrix)
    out.mkdir(parents=True, exist_ok=True)
    strips.ranked_lists(out / "ranked_tracks.png", rows, title=pathlib.Path(video).name)
    ids = np.array([tracklet.track_id for tracklet in tracklets])
    with files.write_whole(out / "tracks.npz") as path:
        np.savez(path, track_ids=ids, embeddings=embeddings, distances=matrix)
    for row in rows:
        nearest = ", ".join(f"{r.caption} ({r.distance:.2f})" for r in row.results[:5])
        print(f"{row.query.caption}: {nearest}")
    num_outside = sum(tracklet.num_outside for tracklet in tracklets)
    outside = f", {num_outside} boxes outside the picture left out" * (num_outside > 0)
    print(f"{len(tracklets)} tracks{outside}; written to {out}")


def _ranked_rows(tracklets, matrix: np.ndarray) -> list[strips.RankedRow]:
    """The longest tracks, each with those that share no frame with it by distance."""
    longest = np.argsort([-len(t.frames) for t in tracklets], kind="stable")
    rows = []
    for q in longest:
        frames = set(map(int, tracklets[q].frames))
        others = [
            g for g, t in enumerate(tracklets) if frames.isdisjoint(map(int, t.frames))
        ]
        if others and len(rows) < _NUM_QUERIES:
            others.sort(key=lambda g, q=q: matrix[q, g])
            results = [
                strips.Result(*_strip(tracklets[g]), float(matrix[q, g]), None)
                for g in others[: strips.NUM_RESULTS]
            ]
            query = strips.Strip(*_strip(tracklets[q]))
            rows.append(strips.RankedRow(query, results))
    return rows


def _strip(tracklet: cutting.Tracklet) -> tuple[list[np.ndarray], str]:
    last = len(tracklet.crops) - 1
    frames = [tracklet.crops[t] for t in sorted({0, last // 2, last})]
    return frames, f"track {tracklet.track_id}"


def _define_flags() -> None:
    flags.DEFINE_string("workdir", None, "Folder of a trained run.")
    flags.DEFINE_string("video", None, "A video that PyAV can read.")
    flags.DEFINE_string("tracks", None, "Its tracks, MOTChallenge format.")
    flags.DEFINE_string("out", None, "Folder to write to; <workdir>/video.")
    flags.DEFINE_integer("min_frames", 8, "Leave out shorter tracks.", 1)
    flags.mark_flags_as_required(["workdir", "video", "tracks"])


def main() -> None:
    values = flags.FLAGS
    out = pathlib.Path(values.out or f"{values.workdir}/video")
    rank_video(values.workdir, values.video, values.tracks, out, values.min_frames)


if __name__ == "__main__":
    cli_flags.run(main, _define_flags)
