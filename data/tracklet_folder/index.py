"""Reads a folder of your own tracklets, which a manifest lists."""

import pathlib

from data.sources import checks, image_files
from data.tracklet_folder import manifest, manifest_checks

LAYOUT = """\
DIR holds the frames as JPEG or PNG files, in folders as you like, and tracklets.csv:
  frames,pid,camid,split,tracklet
  cam0/anna_1/*.jpg,1,0,train,anna_1
frames is a path or glob in DIR (several: a;b); pid counts from 1 (in the gallery 0 is a
distractor, -1 junk), camid from 0; split is train, query or gallery; tracklet, a name,
may be left out. tracklets.jsonl holds the same as JSON, an object on each line.
Without tracklets of the split train it can be scored, not trained on."""


def read_splits(folder: pathlib.Path) -> image_files.Splits:
    """The tracklets of `train`, `query` and `gallery`, in the manifest's order.

    A folder that is only for scoring has no `train`. Frames are in natural order: frame
    2 before frame 10. Warns about queries without a match and gaps in the frames'
    numbers.

    Raises:
        SourceError: lists everything that is wrong, damaged images included.
    """
    problems: list[str] = []
    path = manifest.find(folder, problems)
    rows = manifest.read_rows(path, problems) if path else []
    if path:
        problems += manifest_checks.problems_between(path, rows)
        warnings = list(manifest_checks.warnings_between(path.name, rows))
        checks.warn(f"tracklet_folder in {folder}", warnings)
    splits = {
        split: [
            image_files.FileTracklet(row.name, row.pid, row.camid, row.images)
            for row in rows
            if row.split == split
        ]
        for split in manifest.SPLITS
        if split != "train" or any(row.split == "train" for row in rows)
    }
    if problems:
        images = dict.fromkeys(image_files.all_images(splits.values()))
        problems += checks.damaged_images(folder, images)
        raise checks.SourceError("tracklet_folder", folder, problems)
    return splits
