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
from reid_jax import files, locks
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


def prepared(name: str, data_dir: str | os.PathLike):
    """The builder of a prepared dataset; a rendered one is rendered if need be.

    Raises:
        DatasetError: as `check_prepared`, or the disk is full.
    """
    builder = check_prepared(name, data_dir)
    build(builder)
    return builder


def check_prepared(name: str, data_dir: str | os.PathLike):
    """The builder of a dataset that is prepared or can be without a source.

    Waits for a program that prepares it just now.

    Raises:
        DatasetError: it is not prepared and needs a source: the message says the way.
    """
    builder = find_builder(name, data_dir)
    _settle(builder)
    if not builder.is_prepared() and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise DatasetError(not_prepared_message(name, data_dir))
    return builder


def build(builder, source: str | os.PathLike | None = None) -> None:
    """Prepares `builder`'s dataset; what is prepared already stays as it is.

    When another program prepares it just now, waits and takes what that one made. When
    it fails, whatever the reason, nothing of the dataset is left behind.

    Raises:
        DatasetError: the source is not given or not there, or the disk is full.
        UserError: the builder's own, when the source is not as published.
    """
    _quieten()
    _settle(builder)
    if builder.is_prepared():
        return
    _check_source(builder, source)
    root = pathlib.Path(builder.data_dir_root)
    is_new = [path for path in (root, *root.parents) if not path.exists()]
    try:
        with locked(builder):
            if builder.is_prepared():
                _read_info(builder)
            else:
                verb = "Building" if source else "Rendering"
                name = _full_name(builder)
                with contextlib.suppress(BrokenPipeError):  # `| head` may have gone
                    print(f"{verb} {name} into {builder.data_dir} ...", flush=True)
                _build(builder, source)
    except BaseException:
        _remove_empty(is_new)
        raise


@contextlib.contextmanager
def locked(builder):
    """Keeps other programs from writing `builder`'s dataset while the block runs.

    What a killed --rebuild had put aside is back in its place then. Not re-entrant.
    """
    with locks.held(_lock_file(builder), f"to prepare {_full_name(builder)}"):
        folder, old = pathlib.Path(builder.data_dir), _kept(builder)
        if old.is_dir() and not builder.is_prepared():
            old.rename(folder)
            print(
                f"A --rebuild was killed: the {_full_name(builder)} before it is back.",
                flush=True,
            )
        yield


def _lock_file(builder) -> pathlib.Path:
    name = _full_name(builder).replace("/", "-")
    return pathlib.Path(builder.data_dir_root) / f".{name}.lock"


def _settle(builder) -> None:
    """Waits for a program that prepares the dataset; mends what a killed one left."""
    if builder.is_prepared():
        return
    if _lock_file(builder).exists() or _kept(builder).is_dir():
        with locked(builder):
            pass
    if builder.is_prepared():
        _read_info(builder)


def _read_info(builder) -> None:
    """Reads what is known of a dataset that was prepared after `builder` was made."""
    builder.info.read_from_directory(builder.data_dir)


def _check_source(builder, source: str | os.PathLike | None) -> None:
    layout = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    if layout and source is None:
        raise DatasetError(
            f"{_full_name(builder)} needs --source=DIR, the folder it is in.\n{layout}"
        )
    if layout and not os.path.isdir(source):
        raise DatasetError(f"--source={source} is not a folder.\n{layout}")
    if layout and not os.listdir(source):
        raise DatasetError(f"--source={source} is empty.\n{layout}")


def _build(builder, source: str | os.PathLike | None) -> None:
    """Lets TFDS prepare the dataset; who calls it holds the lock."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(
        manual_dir=os.path.abspath(source) if source else None, try_download_gcs=False
    )
    folder, root = pathlib.Path(builder.data_dir), builder.data_dir_root
    ours = [path for path in (folder, *folder.parents) if path.is_relative_to(root)]
    is_new = [path for path in ours if not path.exists()]
    try:
        with (
            tempfile.TemporaryDirectory() as downloads,  # TFDS wants one; scratch
            contextlib.redirect_stdout(io.StringIO()),  # TFDS prints about downloads
        ):
            builder.download_and_prepare(download_config=config, download_dir=downloads)
    except BaseException as error:
        # Where files cannot be locked another program may have come first.
        if isinstance(error, OSError) and builder.is_prepared():
            _read_info(builder)
            return
        _remove_empty(is_new)
        if files.is_full_error(error):
            raise DatasetError(
                f"No space left on the disk of {root}: nothing was kept. Free some "
                "space or choose another disk with --data_dir=DIR."
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
    _settle(builder)
    if builder.is_prepared() and flags.rebuild:
        builder = _rebuild(builder, flags)
    elif builder.is_prepared():
        print(f"{flags.name} is already in {builder.data_dir} (or --rebuild it):")
    else:
        build(builder, flags.source)
    print(summary(builder))


def _rebuild(builder, flags):
    """Builds a prepared dataset again; the old one stays until that is done."""
    folder, old = pathlib.Path(builder.data_dir), _kept(builder)
    _check_source(builder, flags.source)
    with locked(builder):
        print(f"Building {flags.name} again in {folder} ...", flush=True)
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        try:
            builder = find_builder(flags.name, flags.data_dir)
            _build(builder, flags.source)
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


def _remove_empty(folders: list[pathlib.Path]) -> None:
    """Removes the empty ones of some folders, those below first.

    Folders of other datasets stay, even of one that another process builds just now.
    """
    for folder in folders:
        with contextlib.suppress(OSError):  # not made, or not empty
            if os.listdir(folder) == [".config"]:  # where TFDS notes the default config
                shutil.rmtree(folder / ".config")
            folder.rmdir()


def _quieten() -> None:
    """Keeps errors and, on a terminal, progress bars: drops the rest of the log."""
    ending.quieten()
    import tensorflow_datasets as tfds

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": what was not finished is removed")
