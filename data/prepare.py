"""Builds a dataset: `python -m data.prepare NAME [--source=DIR] [--data_dir=DIR]`.

    python -m data.prepare walkers/street_small
    python -m data.prepare mars --source=/path/to/MARS
    python -m data.prepare tracklet_folder/station --source=/path/to/station

A name is what the configs call it, `<folder in data/>[/<config>]`. Nothing is ever
downloaded: rendered datasets need no source, the others say what DIR must hold.
"""

import signal

if __name__ == "__main__":  # the imports below take seconds: Ctrl-C ends them quietly
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import importlib
import io
import logging
import os
import pathlib
import re
import shutil
import sys
import tempfile

import numpy as np

from data.sources import checks
from reid_jax import files
from reid_jax.cli import arguments as cli_arguments
from reid_jax.cli import ending
from reid_jax.errors import UserError

_DATA = pathlib.Path(__file__).parent
_PROGRAM = "python -m data.prepare"


class DatasetError(UserError):
    """A dataset that cannot be found or built; the message says the way out."""


def known_datasets() -> list[str]:
    """Names of the datasets that have a builder in `data/`."""
    return sorted(
        path.parent.name
        for path in _DATA.glob("*/*_dataset_builder.py")
        if path.name == f"{path.parent.name}_dataset_builder.py"
    )


def find_builder(name: str, data_dir: str | os.PathLike):
    """The `tfds.core.DatasetBuilder` of a dataset, prepared or not.

    Raises:
        DatasetError: there is no such dataset or it has no such config.
    """
    ending.quieten_tensorflow()
    import tensorflow_datasets as tfds

    from data import tracklets

    builder_class = _builder_class(name)
    config = name.partition("/")[2] or None
    if config and _takes_any_config(builder_class):
        config = tfds.core.BuilderConfig(name=config)
    return builder_class(
        config=config,
        data_dir=os.path.abspath(data_dir),
        file_format=tracklets.FILE_FORMAT,
    )


def build(builder, source: str | os.PathLike | None = None) -> None:
    """Prepares `builder`'s dataset; what is prepared already stays as it is.

    When it fails, whatever the reason, nothing of the dataset is left behind.

    Raises:
        DatasetError: the source is not given or not there, or the disk is full.
        UserError: the builder's own, when the source is not as published.
    """
    import tensorflow_datasets as tfds

    _quieten()
    layout = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if builder.is_prepared():
        return
    if layout and source is None:
        raise DatasetError(
            f"{_full_name(builder)} needs --source=DIR, the folder it is in.\n{layout}"
        )
    if layout and not os.path.isdir(source):
        raise DatasetError(f"--source={source} is not a folder.\n{layout}")
    if layout and not os.listdir(source):
        raise DatasetError(f"--source={source} is empty.\n{layout}")
    config = tfds.download.DownloadConfig(
        manual_dir=os.path.abspath(source) if source else None, try_download_gcs=False
    )
    folder = pathlib.Path(builder.data_dir)
    is_new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with (
            tempfile.TemporaryDirectory() as downloads,  # TFDS wants one; scratch
            contextlib.redirect_stdout(io.StringIO()),  # TFDS prints about downloads
        ):
            builder.download_and_prepare(download_config=config, download_dir=downloads)
    except BaseException as error:
        _remove_leftovers(folder, is_new)
        if files.is_full_error(error):
            raise DatasetError(
                f"No space left on the disk of {builder.data_dir_root}: nothing was "
                "kept. Free some space or choose another disk with --data_dir=DIR."
            ) from error
        raise


def not_prepared_message(name: str, data_dir: str | os.PathLike) -> str:
    """What to tell a user whose config names a dataset that has not been built."""
    layout = _builder_class(name).MANUAL_DOWNLOAD_INSTRUCTIONS
    command = f"python -m data.prepare {name}"
    if layout:
        command += " --source=DIR"
    if pathlib.Path(data_dir) != pathlib.Path("datasets"):
        command += f" --data_dir={data_dir}"
    return "\n".join(
        [
            f"The dataset {name} is not in {data_dir}. Build it with",
            f"  {command}",
            *([layout] if layout else ["It is rendered: nothing needs to be fetched."]),
        ]
    )


def summary(builder) -> str:
    """Table of what a prepared dataset holds, one line for each split."""
    titles = ("split", "tracklets", "persons", "cameras", "frames")
    rows = [(*titles, "shortest", "median", "longest")]
    for split in builder.info.splits:
        lengths, pids, camids = [], set(), set()
        for example in builder.as_data_source(split):
            lengths.append(len(example["frames"]))
            pids.add(int(example["pid"]))
            camids.add(int(example["camid"]))
        persons = sum(pid > 0 for pid in pids)  # distractors are no one in particular
        counts = [len(lengths), persons, len(camids), sum(lengths), min(lengths)]
        counts += [round(float(np.median(lengths))), max(lengths)]
        rows.append([split, *(f"{count:,}" for count in counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line; SystemExit with status 1 for what the user can mend."""
    parser = cli_arguments.parser("data.prepare", __doc__)
    parser.add_argument("name", help=f"one of: {', '.join(known_datasets())}")
    parser.add_argument("--source", metavar="DIR", help="the published dataset")
    parser.add_argument(
        "--data_dir", metavar="DIR", default="datasets", help="default: %(default)s"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build again what is there already"
    )
    parser.add_argument(
        "--all_problems", action="store_true", help="list all problems and warnings"
    )
    flags = parser.parse_args(arguments)
    _quieten()
    with (
        ending.one_line_errors(vars(flags).values(), program=_PROGRAM),
        checks.showing(flags.all_problems),
    ):
        _run(flags)


def _run(flags) -> None:
    builder = find_builder(flags.name, flags.data_dir)
    if flags.source and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise DatasetError(
            f"{flags.name} is rendered: --source={flags.source} is for others."
        )
    if not builder.is_prepared() and _kept(builder).is_dir():
        _kept(builder).rename(builder.data_dir)
        print(f"A --rebuild was killed: the {flags.name} before it is back.")
        builder = find_builder(flags.name, flags.data_dir)
    if builder.is_prepared() and flags.rebuild:
        print(f"Building {flags.name} again in {builder.data_dir} ...", flush=True)
        builder = _rebuild(builder, flags)
    elif builder.is_prepared():
        print(f"{flags.name} is already in {builder.data_dir} (or --rebuild it):")
    else:
        print(f"Building {flags.name} in {builder.data_dir} ...", flush=True)
        build(builder, flags.source)
    print(summary(builder))


def _rebuild(builder, flags):
    """Builds a prepared dataset again; the old one stays until that is done."""
    folder, old = pathlib.Path(builder.data_dir), _kept(builder)
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        builder = find_builder(flags.name, flags.data_dir)
        build(builder, flags.source)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        old.rename(folder)
        raise
    shutil.rmtree(old)
    return builder


def _kept(builder) -> pathlib.Path:
    """Where a dataset is while it is built again."""
    folder = pathlib.Path(builder.data_dir)
    return folder.with_name(f"{folder.name}.old")


def _builder_class(name: str):
    """The class `Builder` of a dataset, after checking its name and config."""
    dataset, _, config = name.partition("/")
    if dataset not in known_datasets():
        raise DatasetError(
            f"There is no dataset {name!r} in data/, only: "
            f"{', '.join(known_datasets())}."
        )
    module = importlib.import_module(f"data.{dataset}.{dataset}_dataset_builder")
    configs = list(module.Builder.builder_configs)
    if _takes_any_config(module.Builder):
        if config and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", config):
            raise DatasetError(
                f"{name!r} cannot be: what follows {dataset}/ is a letter, then "
                "letters, digits, - and _."
            )
    elif config and config not in configs:
        known = f"only: {', '.join(configs)}" if configs else "it has none"
        raise DatasetError(f"{dataset} has no config {config!r}, {known}.")
    return module.Builder


def _takes_any_config(builder_class) -> bool:
    """Whether a dataset's configs are names that the user gives to sources."""
    return builder_class.ANY_CONFIG


def _full_name(builder) -> str:
    config = builder.builder_config
    return f"{builder.name}/{config.name}" if config else builder.name


def _remove_leftovers(folder: pathlib.Path, is_new: list[pathlib.Path]) -> None:
    """Removes what TFDS leaves of a failed build beside its unfinished folder.

    Folders of other datasets stay, even of one that another process builds just now.
    """
    if len(is_new) > 1:  # the first config: the name of the default one was noted
        shutil.rmtree(folder.parents[1] / ".config", ignore_errors=True)
    for path in is_new:
        with contextlib.suppress(OSError):  # not made, or not empty
            path.rmdir()


def _quieten() -> None:
    """Keeps errors and, on a terminal, progress bars: drops the rest of the log."""
    ending.quieten()
    import tensorflow_datasets as tfds

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": what was not finished is removed")
