"""Adds a video's crops and rows to a tracklet folder: whole or not at all.

The crops of a video are the folder `<name>/`. A hidden file in it records what they
were cut from, so that a video does not replace another one of the same name.
"""

import contextlib
import csv
import dataclasses
import glob
import json
import pathlib
import tempfile

from data.sources import checks
from data.tracklet_folder import manifest
from reid_jax.errors import UserError

RECORD = ".cut_from.json"
"""File in a video's folder that holds its `Origin`."""


@dataclasses.dataclass(frozen=True)
class Origin:
    """Origin of crops: the full path of a video, its camera, the split."""

    video: str
    camid: int
    split: str

    def __str__(self) -> str:
        return f"{self.video} (--camid={self.camid} --split={self.split})"


def check_name(out: pathlib.Path, name: str) -> None:
    """Raises a UserError unless `name` can be a folder in `out`."""
    if (
        name != name.strip()
        or any(letter in name for letter in ";/\0")
        or not name
        or name.startswith(".")
        or name in manifest.NAMES
    ):
        raise UserError(f"{name!r} cannot be a folder in {out}: choose another --name.")


def read_rows(
    out: pathlib.Path, name: str, origin: Origin, *, replace: bool = False
) -> tuple[list[tuple], int]:
    """The manifest's rows of other videos, and the number of rows of the video `name`.

    Raises:
        SourceError: the manifest of `out` cannot be used, or the folder `name` exists
            without rows.
        UserError: `name` has another origin, or none was recorded (by older versions),
            and `replace` is not set.
    """
    problems: list[str] = []
    rows = []
    if (out / "tracklets.jsonl").exists():
        problems.append("tracklets.jsonl: rows are added to tracklets.csv only")
    if (out / "tracklets.csv").exists():
        for _, row in manifest.csv_lines(out / "tracklets.csv", problems):
            frames = ";".join(row["frames"])
            labels = (row[key] for key in ("pid", "camid", "split"))
            rows.append((frames, *labels, row.get("tracklet", "")))
    prefix = f"{glob.escape(name)}/"
    other_rows = [row for row in rows if not row[0].startswith(prefix)]
    num_old = len(rows) - len(other_rows)
    if (out / name).exists() and not num_old:
        problems.append(
            f"{name}: there, but not in tracklets.csv; choose another --name"
        )
    if problems:
        raise checks.SourceError("The tracklet folder", out, problems)
    recorded = _read_record(out / name)
    if num_old and recorded != origin and not replace:
        recorded_text = recorded or "a video that was not noted down"
        raise UserError(
            f"{out / name} holds {num_old} tracks of {recorded_text}, not of {origin}. "
            "Choose another --name, or replace them with --replace."
        )
    return other_rows, num_old


def write_rows(path: pathlib.Path, rows: list[tuple]) -> None:
    """Writes a manifest, with its header."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(manifest.COLUMNS)
        writer.writerows(rows)


def write_record(folder: pathlib.Path, origin: Origin) -> None:
    """Records in `folder` what its crops were cut from."""
    text = json.dumps(dataclasses.asdict(origin), indent=1)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def _read_record(folder: pathlib.Path) -> Origin | None:
    """Reads the origin of the crops in `folder`; None where it is not recorded."""
    try:
        return Origin(**json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def unfinished(out: pathlib.Path):
    """A temporary folder in `out` for unfinished work.

    After an error, `out` and its parents are removed if they are new and empty.
    """
    new_folders = [path for path in (out, *out.parents) if not path.exists()]
    out.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=".cutting_") as folder:
            yield pathlib.Path(folder)
    except BaseException:
        for path in new_folders:
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        raise


def put_in_place(unfinished: pathlib.Path, out: pathlib.Path, name: str) -> None:
    """Moves the new frames and manifest to `out`: all of it, or nothing."""
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
