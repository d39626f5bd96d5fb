"""Gives each person one number across several videos: `python -m reid_jax.footage …`.

    … link   --workdir=runs/demo --cameras=station.csv --out=linked
    … search --workdir=runs/demo --cameras=station.csv --query hall:17 --out=found
    … embed  --workdir=runs/demo --cameras=station.csv --out=station.npz

station.csv has a line for each video, with the columns camera,video,tracks. More
columns are optional: start (clock time of the first frame), first_frame, classes, fps.
A single video needs no such file: use --video=hall.mp4 --tracks=hall.txt; its camera is
then called hall. Tracks are MOTChallenge files, which most trackers write.

link writes <camera>.txt with global ids, persons.csv, persons.html and embeddings.npz.
search writes found.csv, found.html and embeddings.npz.
"""

import signal

if __name__ == "__main__":  # so that Ctrl-C during the imports below ends quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from reid_jax.cli import compile_cache, ending, processes
from reid_jax.footage import flags

_PROGRAM = "python -m reid_jax.footage"


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; exits with status 1 for errors that the user can mend."""
    given = flags.parser(__doc__).parse_args(arguments)
    ending.quieten()
    compile_cache.enable()
    paths = [*vars(given).values(), *getattr(given, "query", ())]
    with (
        processes.lost_peers_in_one_line(program=_PROGRAM),
        ending.one_line_errors(paths, program=_PROGRAM),
        processes.joined(vars(given)),
    ):
        from reid_jax.footage import program  # takes a second; --help does not need it

        program.run_command(given)


if __name__ == "__main__":
    note = ": nothing was written, embeddings of finished videos are kept"
    ending.guard(main, program=_PROGRAM, note=note)
