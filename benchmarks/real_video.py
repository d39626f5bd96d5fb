"""How well runs tell the people of a real video apart, beside their colours alone.

python benchmarks/real_video.py --video=street.avi --tracks=tracks.txt --runs=runs/demo

Every track of at least `--min_frames` boxes is cut in three: its first third looks for
its last third among the last thirds of all, and the other way round. mAP / CMC-1 in
percent, both ways' mean. A person who comes back under another id counts as another
one. `colour histogram` is that of six stripes, the mean over a third's frames.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from data.videos import mot
from reid_jax.cli import ending
from reid_jax.retrieval import distances, ranking
from reid_jax.runs.track_embeddings import embed_tracks
from reid_jax.scoring import color_histogram

_HISTOGRAM_SIZE = (32, 64)  # width, height


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", required=True, help="a video that PyAV can read")
    parser.add_argument("--tracks", required=True, help="boxes, MOTChallenge format")
    parser.add_argument("--runs", default="", help="folders of runs: runs/a,runs/b")
    parser.add_argument("--min_frames", type=int, default=45)
    args = parser.parse_args(arguments)
    ending.quieten()
    try:
        _print_table(args.video, args.tracks, args.runs.split(","), args.min_frames)
    except (ValueError, OSError) as error:
        parser.error(error)


def _print_table(video: str, tracks_path: str, runs: list[str], min_frames: int):
    tracks = mot.cut_tracks(
        video, mot.read_tracks(tracks_path), min_frames=max(min_frames, 3)
    )
    if len(tracks) < 2:
        raise ValueError(
            f"{tracks_path} has {len(tracks)} tracks of {min_frames} boxes or more; "
            "two are needed. A lower --min_frames may help."
        )
    thirds = [len(track.crops) // 3 for track in tracks]
    first = [track.crops[:n] for track, n in zip(tracks, thirds, strict=True)]
    last = [track.crops[-n:] for track, n in zip(tracks, thirds, strict=True)]
    print(f"{len(tracks)} tracks; a random order: CMC-1 {100 / len(tracks):.1f}")
    print("| | mAP / CMC-1 |\n|---|---|")
    both = first + last
    print(f"| colour histogram | {_score(np.stack(list(map(_histogram, both))))} |")
    for run in filter(None, runs):
        for trained in (False, True):
            score = _score(embed_tracks(run, both, trained=trained))
            name = f"`{run}`" if trained else f"the network of `{run}`, untrained"
            print(f"| {name} | {score} |", flush=True)


def _histogram(pictures) -> np.ndarray:
    small = [Image.fromarray(p).resize(_HISTOGRAM_SIZE) for p in pictures]
    return color_histogram.stripe_histogram(np.stack(small)).mean(0)


def _score(rows: np.ndarray) -> str:
    """mAP / CMC-1 of the first half of `rows` against the second, both ways' mean."""
    first, last = np.split(rows.astype(np.float32), 2)
    pids, zeros = np.arange(len(first)), np.zeros(len(first), int)
    scores = [
        ranking.evaluate(
            np.asarray(distances.l2(query, gallery)), pids, pids, zeros, zeros + 1
        )
        for query, gallery in ((first, last), (last, first))
    ]
    mean_ap = np.mean([score.mean_ap for score in scores])
    cmc = np.mean([float(score.cmc[0]) for score in scores])
    return f"{100 * mean_ap:.1f} / {100 * cmc:.1f}"


if __name__ == "__main__":
    main()
