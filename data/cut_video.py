"""Cuts tracks out of a video: `python -m data.cut_video VIDEO TRACKS OUT …`.

    python -m data.cut_video street.avi tracks.txt station --camid=0 --split=gallery
    python -m data.prepare tracklet_folder/station --source=station

TRACKS has a line frame,id,left,top,width,height,… for each box (MOTChallenge). OUT gets
<video>/<track id>/<frame>.jpg and rows in tracklets.csv; those of other videos stay,
and cutting a video again replaces its own. Without --pids a track's id is its pid: then
tracks of two videos with the same id count as one person.
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import csv
import glob
import pathlib
import shutil
import tempfile

from data.sources import checks, image_files
from data.tracklet_folder import manifest
from data.videos import crop_files, mot, track_pids
from reid_jax import locks
from reid_jax.cli import arguments as cli_arguments
from reid_jax.cli import ending
from reid_jax.errors import UserError


def cut_video(
    video: pathlib.Path,
    tracks_path: pathlib.Path,
    out: pathlib.Path,
    *,
    camid: int,
    split: str,
    pids_path: pathlib.Path | None = None,
    name: str | None = None,
    min_frames: int = 1,
) -> str:
    """Cuts a video's tracks into the tracklet folder `out`; returns what was done.

    When it fails, `out` is as it was. Boxes outside the picture and gaps in tracks are
    warned about.

    Raises:
        UserError: the video, tracks, pids or the manifest of `out` cannot be used, or
            nothing is left of them.
    """
    name = name or video.stem
    if (
        name != name.strip()
        or any(letter in name for letter in ";/\0")
        or name.startswith(".")
        or name in manifest.NAMES
    ):
        raise UserError(f"{name!r} cannot be a folder in {out}: choose another --name.")
    tracks = mot.read_tracks(tracks_path)
    pids = track_pids.read(pids_path, tracks) if pids_path else track_pids.ids(tracks)
    track_pids.check(pids, split)
    _read_rows(out, name)  # what is wrong with them is said before the long work
    with _unfinished(out) as unfinished:
        named = {track_id: tracks[track_id] for track_id in sorted(pids)}
        new = unfinished / "new"
        crops = crop_files.write_crops(video, named, new)
        files = crops.files
        kept = [t for t in named if len(files[t]) >= max(min_frames, 1)]
        if not kept:
            raise UserError(
                f"{tracks_path}: none of {len(named)} tracks has {min_frames} boxes "
                f"in the picture of {video}."
            )
        for track_id in set(named) - set(kept):
            shutil.rmtree(new / str(track_id), ignore_errors=True)
        rows = [
            (f"{glob.escape(name)}/{t}/*.jpg", pids[t], camid, split, f"{name}/{t}")
            for t in kept
        ]
        with locks.held(out / ".tracklets.lock", f"to add {name} to {out}"):
            others, num_old = _read_rows(out, name)  # with those added meanwhile
            _write_rows(unfinished / "tracklets.csv", [*others, *rows])
            _put_in_place(unfinished, out, name)
    checks.warn(
        f"{tracks_path} of {video}",
        list(crop_files.warnings(tracks_path.name, named, crops)),
    )
    num_frames = sum(len(files[track_id]) for track_id in kept)
    text = f"{name}: {len(kept)} tracks, {num_frames:,} frames in {out}"
    if num_old:
        text += f", in place of {num_old} tracks"
    if short := len(named) - len(kept):
        text += f"; {short} with fewer than {max(min_frames, 1)} frames left out"
    if nameless := len(tracks) - len(named):
        text += f"; {nameless} without a pid left out"
    return text


def _read_rows(out: pathlib.Path, name: str) -> tuple[list[tuple], int]:
    """The manifest's rows of other videos, and the number of this one's."""
    problems: list[str] = []
    rows = []
    if (out / "tracklets.jsonl").exists():
        problems.append("tracklets.jsonl: rows are added to tracklets.csv only")
    if (out / "tracklets.csv").exists():
        for _, row in manifest.csv_lines(out / "tracklets.csv", problems):
            frames = ";".join(row["frames"])
            others = (row[key] for key in ("pid", "camid", "split"))
            rows.append((frames, *others, row.get("tracklet", "")))
    own = f"{glob.escape(name)}/"
    others = [row for row in rows if not row[0].startswith(own)]
    if (out / name).exists() and len(others) == len(rows):
        problems.append(
            f"{name}: there, but not in tracklets.csv; choose another --name"
        )
    if problems:
        raise checks.SourceError("The tracklet folder", out, problems)
    return others, len(rows) - len(others)


def _write_rows(path: pathlib.Path, rows: list[tuple]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(manifest.COLUMNS)
        writer.writerows(rows)


@contextlib.contextmanager
def _unfinished(out: pathlib.Path):
    """A folder in `out` for what is not done yet; `out` goes if it stays empty."""
    is_new = [path for path in (out, *out.parents) if not path.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".cutting_") as folder:
            yield pathlib.Path(folder)
    except BaseException:
        for path in is_new:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        raise


def _put_in_place(unfinished: pathlib.Path, out: pathlib.Path, name: str) -> None:
    """Moves the new frames and manifest to `out`; all of it, or all stays as it was."""
    target, old = out / name, unfinished / "old"
    if target.exists():
        target.rename(old)
    try:
        (unfinished / "new").rename(target)
        (unfinished / "tracklets.csv").replace(out / "tracklets.csv")
    except BaseException:
        if target.exists():
            target.rename(unfinished / "failed")
        if old.exists():
            old.rename(target)
        raise


_PROGRAM = "python -m data.cut_video"


def main(arguments: list[str] | None = None) -> None:
    """The command line; SystemExit with status 1 for what the user can mend."""
    parser = cli_arguments.parser("data.cut_video", __doc__)
    parser.add_argument("video", type=pathlib.Path)
    parser.add_argument("tracks", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--camid", type=int, required=True, help="camera, from 0")
    parser.add_argument("--split", choices=manifest.SPLITS, required=True)
    parser.add_argument(
        "--pids",
        type=pathlib.Path,
        metavar="FILE",
        help="CSV track_id,pid: the others are left out",
    )
    parser.add_argument(
        "--name",
        help="folder of the video in OUT, of which there is one; default: its name",
    )
    parser.add_argument(
        "--min_frames", type=int, default=1, help="leave out shorter tracks"
    )
    parser.add_argument(
        "--all_problems", action="store_true", help="list all problems and warnings"
    )
    flags = parser.parse_args(arguments)
    if not 0 <= flags.camid <= image_files.LARGEST:
        parser.error(f"--camid={flags.camid} is not from 0 to {image_files.LARGEST}")
    with (
        ending.one_line_errors(vars(flags).values(), program=_PROGRAM),
        checks.showing(flags.all_problems),
    ):
        done = cut_video(
            flags.video,
            flags.tracks,
            flags.out,
            camid=flags.camid,
            split=flags.split,
            pids_path=flags.pids,
            name=flags.name,
            min_frames=flags.min_frames,
        )
    print(done)


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": nothing was kept")
