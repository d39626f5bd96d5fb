"""Builds a dataset: `python -m data.prepare NAME [--source=DIR] [--data_dir=DIR]`.

    python -m data.prepare walkers/street_small
    python -m data.prepare mars --source=/path/to/MARS
    python -m data.prepare tracklet_folder/station --source=/path/to/station

NAME is the name in configs, `<folder in data/>[/<config>]`. Nothing is downloaded:
rendered datasets need no source, and the others say what DIR must hold.
"""

import signal

if __name__ == "__main__":  # Ctrl-C ends the slow imports below quietly
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

from configs import base
from data.sources import checks
from reid_jax import files, locks
from reid_jax.cli import arguments as cli_arguments
from reid_jax.cli import ending
from reid_jax.errors import UserError

_DATA = pathlib.Path(__file__).parent
_PROGRAM = "python -m data.prepare"
CONFIG_NAME = "[A-Za-z][A-Za-z0-9_-]*"
"""Regular expression of the names that users may give to configs."""


class DatasetError(UserError):
    """A dataset cannot be found or built; the message says what to do."""


def known_datasets() -> list[str]:
    """Names of the datasets that have a builder in `data/`, sorted."""
    return sorted(
        path.parent.name
        for path in _DATA.glob("*/*_dataset_builder.py")
        if path.name == f"{path.parent.name}_dataset_builder.py"
    )


def find_builder(name: str, data_dir: str | os.PathLike):
    """The `tfds.core.DatasetBuilder` of a dataset, prepared or not.

    Raises:
        DatasetError: there is no such dataset, or it has no such config.
    """
    ending.quieten_tensorflow()
    import tensorflow_datasets as tfds

    from data import tracklets

    builder_class = _builder_class(name)
    config = name.partition("/")[2] or None
    if config and _has_free_configs(builder_class):
        config = tfds.core.BuilderConfig(name=config)
    return builder_class(
        config=config,
        data_dir=os.path.abspath(data_dir),
        file_format=tracklets.FILE_FORMAT,
    )


def prepared(name: str, data_dir: str | os.PathLike):
    """The builder of a prepared dataset; renders a rendered one if needed.

    Raises:
        DatasetError: as `check_prepared`, or the disk is full.
    """
    builder = check_prepared(name, data_dir)
    build(builder)
    return builder


def check_prepared(name: str, data_dir: str | os.PathLike):
    """The builder of a dataset that is prepared, or can be built without a source.

    Waits while another program prepares it.

    Raises:
        DatasetError: it is not prepared and needs a source; the message has the
            command.
    """
    builder = find_builder(name, data_dir)
    _wait_for_others(builder)
    if not builder.is_prepared() and builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise DatasetError(not_prepared_message(name, data_dir))
    return builder


def build(builder, source: str | os.PathLike | None = None) -> None:
    """Prepares a dataset, unless it is prepared already.

    While another program prepares it, waits and takes the result. When it fails,
    nothing of the dataset is left behind.

    Raises:
        DatasetError: the source is missing or not given, or the disk is full.
        UserError: the builder refuses the source, which is not as published.
    """
    _quieten_logs()
    _wait_for_others(builder)
    if builder.is_prepared():
        return
    _check_source(builder, source)
    root = pathlib.Path(builder.data_dir_root)
    new_folders = [path for path in (root, *root.parents) if not path.exists()]
    try:
        with locked(builder):
            if builder.is_prepared():
                _read_info(builder)
            else:
                verb = "Building" if source else "Rendering"
                name = _full_name(builder)
                with contextlib.suppress(BrokenPipeError):  # `| head` has ended
                    print(f"{verb} {name} into {builder.data_dir} ...", flush=True)
                _build(builder, source)
    except BaseException:
        _remove_empty_folders(new_folders)
        raise


@contextlib.contextmanager
def locked(builder):
    """Keeps other programs from writing the dataset while the block runs.

    First restores the dataset that a killed --rebuild had moved away. Not re-entrant.
    """
    with locks.held(_lock_file(builder), f"to prepare {_full_name(builder)}"):
        folder, replaced = pathlib.Path(builder.data_dir), _replaced_folder(builder)
        if replaced.is_dir() and not builder.is_prepared():
            replaced.rename(folder)
            print(
                f"A --rebuild was killed: the {_full_name(builder)} before it is back.",
                flush=True,
            )
        yield


def _lock_file(builder) -> pathlib.Path:
    """The file that programs lock while they write the dataset."""
    name = _full_name(builder).replace("/", "-")
    return pathlib.Path(builder.data_dir_root) / f".{name}.lock"


def _wait_for_others(builder) -> None:
    """Waits while another program prepares the dataset; repairs a killed --rebuild."""
    if builder.is_prepared():
        return
    if _lock_file(builder).exists() or _replaced_folder(builder).is_dir():
        with locked(builder):
            pass
    if builder.is_prepared():
        _read_info(builder)


def _read_info(builder) -> None:
    """Loads the metadata of a dataset that was prepared after `builder` was created."""
    builder.info.read_from_directory(builder.data_dir)


def _check_source(builder, source: str | os.PathLike | None) -> None:
    """Raises DatasetError, with the layout, unless a needed source is there."""
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
    """Lets TFDS prepare the dataset; the caller holds the lock."""
    import tensorflow_datasets as tfds

    config = tfds.download.DownloadConfig(
        manual_dir=os.path.abspath(source) if source else None, try_download_gcs=False
    )
    folder, root = pathlib.Path(builder.data_dir), builder.data_dir_root
    folders = [path for path in (folder, *folder.parents) if path.is_relative_to(root)]
    new_folders = [path for path in folders if not path.exists()]
    try:
        with (
            tempfile.TemporaryDirectory() as downloads,  # TFDS needs one
            contextlib.redirect_stdout(io.StringIO()),  # TFDS prints about downloads
        ):
            builder.download_and_prepare(download_config=config, download_dir=downloads)
    except BaseException as error:
        # On disks without file locks another program may have built it meanwhile.
        if isinstance(error, OSError) and builder.is_prepared():
            _read_info(builder)
            return
        _remove_empty_folders(new_folders)
        if files.is_full_error(error):
            raise DatasetError(
                f"No space left on the disk of {root}: nothing was kept. Free some "
                "space or choose another disk with --data_dir=DIR."
            ) from error
        raise


def not_prepared_message(name: str, data_dir: str | os.PathLike) -> str:
    """Tells a user how to build the dataset that the config names."""
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


def summary(builder) -> tuple[str, int]:
    """A table of a prepared dataset as text, and the number of training persons.

    The table has one line for each split.
    """
    titles = ("split", "tracklets", "persons", "cameras", "frames")
    rows = [(*titles, "shortest", "median", "longest")]
    num_training_persons = 0
    for split in builder.info.splits:
        lengths, pids, camids = [], set(), set()
        for example in builder.as_data_source(split):
            lengths.append(len(example["frames"]))
            pids.add(int(example["pid"]))
            camids.add(int(example["camid"]))
        persons = sum(pid > 0 for pid in pids)  # distractors and junk are not persons
        if split == "train":
            num_training_persons = persons
        counts = [len(lengths), persons, len(camids), sum(lengths), min(lengths)]
        counts += [round(float(np.median(lengths))), max(lengths)]
        rows.append([split, *(f"{count:,}" for count in counts)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    return "\n".join(lines), num_training_persons


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; SystemExit with status 1 for errors the user can fix."""
    parser = cli_arguments.parser("data.prepare", __doc__)
    parser.add_argument("name", help=f"one of: {', '.join(known_datasets())}")
    parser.add_argument(
        "--source", metavar="DIR", help="folder of the published dataset"
    )
    parser.add_argument(
        "--data_dir", metavar="DIR", default="datasets", help="default: %(default)s"
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="build a prepared dataset again"
    )
    parser.add_argument(
        "--all_problems", action="store_true", help="list all problems and warnings"
    )
    flags = parser.parse_args(arguments)
    _quieten_logs()
    with (
        ending.one_line_errors(vars(flags).values(), program=_PROGRAM),
        checks.showing(flags.all_problems),
    ):
        _run(flags)


def _run(flags) -> None:
    """Builds the dataset that the flags name, if needed, and prints what it holds."""
    builder = find_builder(flags.name, flags.data_dir)
    if flags.source and not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
        raise DatasetError(
            f"{flags.name} is rendered: --source={flags.source} is for others."
        )
    _wait_for_others(builder)
    if builder.is_prepared() and flags.rebuild:
        builder = _rebuild(builder, flags)
    elif builder.is_prepared():
        print(f"{flags.name} is already in {builder.data_dir} (--rebuild replaces it):")
    else:
        build(builder, flags.source)
    text, num_persons = summary(builder)
    print(text)
    print(f"\n{_next_command(flags, num_persons)}")


def _next_command(flags, num_persons: int) -> str:
    """Says how to use a dataset with so many training persons."""
    command = f"--config.data.name={flags.name}"
    if flags.data_dir != "datasets":
        command += f" --config.data.data_dir={flags.data_dir}"
    if num_persons < 2:
        return (
            "next, score a network that was trained on rendered people:\n"
            f"  python evaluate.py --workdir=weights/rendered {command}"
        )
    if num_persons < base.get_config().data.p:
        command += f" --config.data.p={num_persons}"
    workdir = f"runs/attn_tconv-{flags.name.replace('/', '-')}"
    return (
        "next, train a network on it:\n"
        f"  python train.py --config=configs/attn_tconv.py --workdir={workdir} "
        f"{command}"
    )


def _rebuild(builder, flags):
    """Builds a prepared dataset again; the previous one stays until that is done."""
    folder, replaced = pathlib.Path(builder.data_dir), _replaced_folder(builder)
    _check_source(builder, flags.source)
    with locked(builder):
        print(f"Building {flags.name} again in {folder} ...", flush=True)
        shutil.rmtree(replaced, ignore_errors=True)
        folder.rename(replaced)
        try:
            builder = find_builder(flags.name, flags.data_dir)
            _build(builder, flags.source)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            replaced.rename(folder)
            raise
        shutil.rmtree(replaced)
    return builder


def _replaced_folder(builder) -> pathlib.Path:
    """Folder that the previous dataset is moved to during --rebuild."""
    folder = pathlib.Path(builder.data_dir)
    return folder.with_name(f"{folder.name}.old")


def _builder_class(name: str):
    """The class `Builder` of a dataset; DatasetError for an unknown name or config."""
    dataset, _, config = name.partition("/")
    if dataset not in known_datasets():
        raise DatasetError(
            f"There is no dataset {name!r} in data/, only: "
            f"{', '.join(known_datasets())}."
        )
    module = importlib.import_module(f"data.{dataset}.{dataset}_dataset_builder")
    configs = list(module.Builder.builder_configs)
    if _has_free_configs(module.Builder):
        if config and not re.fullmatch(CONFIG_NAME, config):
            raise DatasetError(
                f"{name!r} is not a name: what follows {dataset}/ is a letter, then "
                "letters, digits, - and _."
            )
    elif config and config not in configs:
        available = f"only: {', '.join(configs)}" if configs else "it has none"
        raise DatasetError(f"{dataset} has no config {config!r}, {available}.")
    return module.Builder


def _has_free_configs(builder_class) -> bool:
    """Whether users choose the names of this dataset's configs."""
    return builder_class.ANY_CONFIG


def _full_name(builder) -> str:
    """The name in configs, `<dataset>[/<config>]`."""
    config = builder.builder_config
    return f"{builder.name}/{config.name}" if config else builder.name


def _remove_empty_folders(folders: list[pathlib.Path]) -> None:
    """Removes those of `folders` that are empty, innermost first.

    Folders with other datasets stay, even with one that another process is building.
    """
    for folder in folders:
        with contextlib.suppress(OSError):  # absent, or not empty
            # TFDS stores the default config there.
            if os.listdir(folder) == [".config"]:
                shutil.rmtree(folder / ".config")
            folder.rmdir()


def _quieten_logs() -> None:
    """Silences log messages below errors, and progress bars without a terminal."""
    ending.quieten()
    import tensorflow_datasets as tfds

    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()


if __name__ == "__main__":
    ending.guard(main, program=_PROGRAM, note=": what was not finished is removed")
