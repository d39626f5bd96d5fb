"""Defines the command line of `python -m reid_jax.footage`."""

import argparse
import pathlib
import shlex

from reid_jax.cli import arguments, processes

FALSE_LINKS = 0.01
"""Default share of the pairs of two persons that may be linked."""


COMMANDS = {
    "link": "global identities over all videos",
    "search": "the tracks nearest to a track or to pictures",
    "embed": "embeddings only",
}


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, except None and False."""

    def _get_help_string(self, action):
        has_no_default = action.default in (None, False) or action.required
        return action.help if has_no_default else super()._get_help_string(action)


def parser(doc: str) -> argparse.ArgumentParser:
    """Builds the parser; its result has the name of the command as `command`."""
    main_parser = arguments.parser("reid_jax.footage", doc)
    commands = main_parser.add_subparsers(
        required=True, dest="command", metavar="|".join(COMMANDS)
    )
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=f"Writes {text}.",
            formatter_class=_Help,
        )
        _add_common(command, "file (.npz)" if name == "embed" else "folder")
        if name == "link":
            _add_link(command)
        if name == "search":
            _add_search(command)
        if name == "embed":
            processes.add_to(command)
    return main_parser


def command_line(given: argparse.Namespace, command: str, *more: str) -> str:
    """Returns the command line of another command on the same videos."""
    words = ["python", "-m", "reid_jax.footage", command]
    names = ("workdir", "cameras", "video", "tracks", "first_frame", "classes", "fps")
    for name in names:
        if (value := getattr(given, name)) is not None:
            text = ",".join(map(str, value)) if name == "classes" else value
            words.append(f"--{name}={text}")
    return shlex.join([*words, *more])


def _add_common(command: argparse.ArgumentParser, out: str) -> None:
    add = command.add_argument
    add("--workdir", required=True, help="folder of a trained run")
    add("--cameras", type=pathlib.Path, help="CSV file camera,video,tracks,…")
    add(
        "--video",
        type=pathlib.Path,
        help="a single video, instead of --cameras; its camera is named after the file",
    )
    add("--tracks", type=pathlib.Path, help="the tracks of --video")
    add(
        "--first_frame",
        type=int,
        help="with --tracks: number of the first frame in that file (default: 1)",
    )
    add(
        "--classes",
        type=arguments.whole_numbers,
        help="with --tracks: classes that are persons, such as 1,7",
    )
    add("--fps", type=float, help="frames per second, if --video is pictures")
    add("--out", type=pathlib.Path, required=True, help=f"{out} to write")
    add(
        "--keep",
        type=pathlib.Path,
        metavar="DIR",
        help="folder that stores embeddings and three pictures of each track for later "
        "calls; none: do not store them (default: WORKDIR/footage)",
    )
    add("--min_frames", type=_positive, default=8, help="leave out shorter tracks")
    add(
        "--center_cameras",
        action="store_true",
        help="subtract the mean of each camera's embeddings before comparing them",
    )
    add("--every", type=_positive, default=1, help="embed every N-th box of a track")


def _add_link(command: argparse.ArgumentParser) -> None:
    group = _add_threshold(command, "link up to this distance")
    group.add_argument(
        "--persons", type=_positive, metavar="N", help="link into N persons"
    )
    command.add_argument(
        "--overlap",
        choices=("possible", "none"),
        default="possible",
        help="none: no person is seen by two cameras at the same time",
    )
    command.add_argument(
        "--labels",
        type=pathlib.Path,
        metavar="FILE",
        help="CSV file camera,track,person: score the links against these persons",
    )
    command.add_argument(
        "--memory_gb",
        type=_above_zero,
        metavar="GB",
        default=8.0,
        help="memory limit for clustering the tracks that a threshold connects",
    )


def _add_search(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--query",
        nargs="+",
        required=True,
        metavar="Q",
        help="tracks as CAMERA:TRACK, or pictures of one person",
    )
    command.add_argument(
        "--top",
        type=_positive,
        metavar="N",
        default=20,
        help="number of tracks to show",
    )
    _add_threshold(command, "mark tracks beyond this distance")


def _add_threshold(command: argparse.ArgumentParser, text: str):
    group = command.add_mutually_exclusive_group()
    group.add_argument("--threshold", type=_above_zero, metavar="D", help=text)
    group.add_argument(
        "--false_links",
        type=_rate,
        metavar="RATE",
        help="the distance that links this share of the pairs of two persons on the "
        f"run's test persons (default: {FALSE_LINKS})",
    )
    command.add_argument(
        "--calibration",
        metavar="DATASET",
        help="dataset on which that distance was measured (default: the run's)",
    )
    return group


def _positive(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _above_zero(text: str) -> float:
    number = _number(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _rate(text: str) -> float:
    number = _number(text)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number between 0 and 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
