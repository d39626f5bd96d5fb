"""Cuts tracks out of a video: `python -m data.cut_video VIDEO TRACKS OUT …`.

    python -m data.cut_video street.avi tracks.txt station --camid=0 --split=gallery
    python -m data.prepare tracklet_folder/station --source=station

VIDEO is a file, a folder of pictures such as MOT17-02/img1, or a pattern such as
MOT17-02/img1/%06d.jpg. TRACKS has a line frame,id,left,top,width,height,… for each box
(MOTChallenge), with commas, semicolons, tabs or spaces between the numbers. Lines that
cannot be used are left out and counted. In a ground truth (nine columns) only
pedestrians count.

OUT gets <name>/<track id>/<frame>.jpg and rows in tracklets.csv. Rows of other videos
stay; cutting a video again replaces its rows and pictures. Without --pids a track's id
is its pid: tracks of two videos with the same id then count as one person.
"""

import signal

if __name__ == "__main__":  # Ctrl-C ends the slow imports below quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import glob
import pathlib
import re
import shutil
from collections.abc import Collection

from data import prepare
from data.sources import checks, image_files
from data.tracklet_folder import additions, manifest
from data.videos import crop_files, mot, pictures, track_pids
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
    first_frame: int = 1,
    classes: Collection[int] | None = None,
    replace: bool = False,
) -> str:
    """Cuts a video's tracks into the tracklet folder `out`; returns a summary sentence.

    Warns about what is left out and about gaps in tracks. When it fails, `out` is as
    before.

    Args:
        video: A video file, a folder of pictures, or a pattern of their names.
        tracks_path: The tracks, in MOTChallenge format.
        out: The tracklet folder, which is created if needed.
        camid: Camera id of the video, from 0.
        split: Split of all its tracks.
        pids_path: CSV of track_id,pid; other tracks are left out. Without it a track's
            id is its pid.
        name: Folder of the crops in `out`; by default `pictures.default_name`.
        min_frames: Tracks with fewer crops are left out.
        first_frame: Number that the tracks give to the video's first frame.
        classes: Classes of boxes to use; see `mot.read_tracks`.
        replace: Whether `name` may replace crops of another video, camera or split.

    Raises:
        UserError: the video, tracks, pids or the manifest of `out` cannot be used, no
            track is left, or `name` is taken and `replace` is not set.
    """
    name = name or pictures.default_name(video)
    additions.check_name(out, name)
    parsed = mot.read_tracks(tracks_path, first_frame=first_frame, classes=classes)
    tracks = parsed.by_id
    pids = track_pids.read(pids_path, tracks) if pids_path else track_pids.ids(tracks)
    track_pids.check(pids, split)
    origin = additions.Origin(pictures.whole_path(video), camid, split)
    # Problems of the manifest are reported before the long work.
    additions.read_rows(out, name, origin, replace=replace)
    with additions.unfinished(out) as unfinished:
        named_tracks = {track_id: tracks[track_id] for track_id in sorted(pids)}
        new_folder = unfinished / "new"
        written = crop_files.write_crops(
            video, named_tracks, new_folder, first_frame=first_frame
        )
        files = written.files
        long_enough = [t for t in named_tracks if len(files[t]) >= max(min_frames, 1)]
        if not long_enough:
            raise UserError(
                f"{tracks_path}: none of {len(named_tracks)} tracks has {min_frames} "
                f"boxes in the picture of {video}."
            )
        for track_id in set(named_tracks) - set(long_enough):
            shutil.rmtree(new_folder / str(track_id), ignore_errors=True)
        additions.write_record(new_folder, origin)
        rows = [
            (f"{glob.escape(name)}/{t}/*.jpg", pids[t], camid, split, f"{name}/{t}")
            for t in long_enough
        ]
        with locks.held(out / ".tracklets.lock", f"to add {name} to {out}"):
            # Read again: another program may have added rows meanwhile.
            other_rows, num_replaced = additions.read_rows(
                out, name, origin, replace=replace
            )
            additions.write_rows(unfinished / "tracklets.csv", [*other_rows, *rows])
            additions.put_in_place(unfinished, out, name)
    checks.warn(
        f"{tracks_path} of {video}", [*map(str, parsed.left_out), *written.warnings]
    )
    num_frames = sum(len(files[track_id]) for track_id in long_enough)
    text = f"{name}: {len(long_enough)} tracks, {num_frames:,} frames in {out}"
    if num_replaced:
        text += f", in place of {num_replaced} tracks"
    if num_short := len(named_tracks) - len(long_enough):
        text += f"; {num_short} with fewer than {max(min_frames, 1)} frames left out"
    if num_without_pid := len(tracks) - len(named_tracks):
        text += f"; {num_without_pid} without a pid left out"
    return text


_PROGRAM = "python -m data.cut_video"


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; SystemExit with status 1 for errors the user can fix."""
    parser = cli_arguments.parser("data.cut_video", __doc__)
    parser.add_argument(
        "video", type=pathlib.Path, help="video file, folder of pictures, or pattern"
    )
    parser.add_argument(
        "tracks", type=pathlib.Path, help="file of boxes (MOTChallenge)"
    )
    parser.add_argument(
        "out", type=pathlib.Path, help="folder that the crops and rows are added to"
    )
    parser.add_argument("--camid", type=int, required=True, help="camera, from 0")
    parser.add_argument(
        "--split",
        choices=manifest.SPLITS,
        required=True,
        help="split of all tracks of the video",
    )
    parser.add_argument(
        "--pids",
        type=pathlib.Path,
        metavar="FILE",
        help="CSV file track_id,pid; tracks that are not in it are left out",
    )
    parser.add_argument(
        "--name",
        help="folder of the video in OUT; default: the name of the video, or of the "
        "folder of pictures (its parent, if the folder is called img1 or similar)",
    )
    parser.add_argument(
        "--first_frame",
        type=int,
        default=1,
        metavar="N",
        help="number that TRACKS gives to the first frame; 0 where it counts from 0",
    )
    parser.add_argument(
        "--classes",
        type=cli_arguments.whole_numbers,
        metavar="N,N",
        help="keep only boxes of these classes (column 8); default: all, but in a "
        "ground truth of MOT16, MOT17 or MOT20 only considered pedestrians (1)",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace crops in --name even if of another video, camera or split",
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
    if flags.first_frame < 0:
        parser.error(f"--first_frame={flags.first_frame} is below 0")
    with (
        ending.one_line_errors(vars(flags).values(), program=_PROGRAM),
        checks.showing(flags.all_problems),
    ):
        summary = cut_video(
            flags.video,
            flags.tracks,
            flags.out,
            camid=flags.camid,
            split=flags.split,
            pids_path=flags.pids,
            name=flags.name,
            min_frames=flags.min_frames,
            first_frame=flags.first_frame,
            classes=flags.classes,
            replace=flags.replace,
        )
    print(summary)
    name = flags.out.resolve().name
    name = name if re.fullmatch(prepare.CONFIG_NAME, name) else "NAME"
    print(
        "\nnext, when all videos are cut:\n"
        f"  python -m data.prepare tracklet_folder/{name} --source={flags.out}"
    )


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": nothing was kept")
