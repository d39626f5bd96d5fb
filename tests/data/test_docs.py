"""docs/datasets.md: the commands for tracklets of one's own run as printed."""

import re
import shlex

import numpy as np
import pytest

from configs import attn_tconv
from data import cut_video, prepare
from reid_jax import config_checks
from reid_jax.input import files
from tests import ROOT, source_layouts


@pytest.fixture(scope="module")
def commands():
    """The arguments of each command of the section, by its program."""
    text = (ROOT / "docs" / "datasets.md").read_text()
    section = text.partition("## Your own tracklets")[2].partition("\n## ")[0]
    found: dict[str, list[list[str]]] = {}
    for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL):
        for line in block.splitlines():
            python, *words = shlex.split(line, comments=True)
            assert python == ".venv/bin/python"
            words = words[1:] if words[0] == "-m" else words
            found.setdefault(words[0], []).append(words[1:])
    return found


def _write_video(name: str, pids: range) -> None:
    """A video of ten frames with as many tracks as `pids`, their boxes and pids."""
    shades = np.arange(10, dtype=np.uint8)[:, None, None, None] * 20
    source_layouts.write_video(f"{name}.avi", np.tile(shades, (1, 48, 64, 3)))
    boxes = [
        (frame, track) for frame in range(1, 11) for track, _ in enumerate(pids, 1)
    ]
    with open(f"{name}.txt", "w") as file:
        file.writelines(f"{frame},{track},{track},4,8,16\n" for frame, track in boxes)
    with open(f"{name}_pids.csv", "w") as file:
        rows = (f"{track},{pid}\n" for track, pid in enumerate(pids, 1))
        file.writelines(["track_id,pid\n", *rows])


def test_the_commands_run_on_a_small_set(commands, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("yard", "gate"):
        _write_video(name, range(1, 6))
    for name in ("hall", "door"):
        _write_video(name, range(6, 11))
    assert len(commands["data.cut_video"]) == 4 and len(commands["data.prepare"]) == 1
    for words in commands["data.cut_video"]:
        cut_video.main(words)
    for words in commands["data.prepare"]:
        prepare.main(words)
    (words,) = commands["train.py"]
    flags = dict(word.lstrip("-").split("=", 1) for word in words)
    assert flags.pop("config") == "configs/attn_tconv.py" and flags.pop("workdir")
    config = attn_tconv.get_config()
    config.data.name = flags.pop("config.data.name")
    config.data.p = int(flags.pop("config.data.p"))
    assert not flags
    config_checks.check_config(config)
    source = files.FilesSource(config)
    assert len(source.pids) == 5
    batch = next(source.train_clips())
    assert len(batch.labels) == config.data.p * config.data.k
