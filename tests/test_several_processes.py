"""evaluate.py and `footage embed` in two processes: what one process writes."""

import shutil
import signal
import time

import numpy as np
import pytest

from tests import processes
from tests.source_layouts import write_video


@pytest.fixture
def workdir(trained, tmp_path):
    """A run without stored embeddings."""
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(folder / "eval", ignore_errors=True)
    return folder


@pytest.fixture
def station(tmp_path):
    """Three cameras, each with two tracks."""
    lines = ["camera,video,tracks"]
    for number, camera in enumerate(("hall", "gate", "yard"), start=1):
        rng = np.random.default_rng(number)
        images = rng.integers(0, 255, (4 + 4 * number, 64, 96, 3), np.uint8)
        write_video(tmp_path / f"{camera}.mkv", images)
        rows = [
            f"{frame},{track},{left},0,32,64,0.9,-1,-1,-1"
            for track, left in ((1, 0), (2, 40))
            for frame in range(1, len(images) + 1)
        ]
        (tmp_path / f"{camera}.txt").write_text("\n".join(rows) + "\n")
        lines.append(f"{camera},{camera}.mkv,{camera}.txt")
    path = tmp_path / "station.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _embed(workdir, station, out, *flags: str) -> tuple[str, ...]:
    program = ("-m", "reid_jax.footage", "embed", f"--workdir={workdir}")
    return (*program, f"--cameras={station}", f"--out={out}", *flags)


@pytest.mark.slow
def test_evaluate_writes_what_one_process_writes(workdir):
    command = ("evaluate.py", f"--workdir={workdir}", "--config.eval.metric=l2,kissme")
    command += ("--config.eval.kissme_dim=4", "--config.eval.baselines=True")
    command += ("--config.eval.noise=1e-3",)
    names = ("embeddings.npz", "scores.json", "calibration.json", "queries.csv")
    written = []
    for start in (
        lambda: [processes.start(*command, num_devices=2)],
        lambda: processes.start_all(command, command, num_devices=2),
    ):
        first, *others = processes.end(*start())
        assert "color_histogram" in first and "color_histogram" not in "".join(others)
        folder = workdir / "eval" / "walkers-tiny"
        written.append({name: (folder / name).read_bytes() for name in names})
        shutil.rmtree(workdir / "eval")
    assert written[0] == written[1]


@pytest.mark.slow
def test_footage_embed_writes_what_one_process_writes(workdir, station, tmp_path):
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    processes.end(processes.start(*_embed(workdir, station, one, "--keep=none")))
    command = _embed(workdir, station, two)
    first, second = processes.end(*processes.start_all(command, command))
    assert f"6 tracks, 256 numbers each, written to {two}" in first
    assert "written" not in second
    assert one.read_bytes() == two.read_bytes()
    assert len(list((workdir / "footage").iterdir())) == 3


@pytest.mark.slow
def test_footage_embed_of_other_videos_and_folders(workdir, station, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(station.read_text().replace("gate.txt", "hall.txt"))
    first, second = (_embed(workdir, s, tmp_path / "x.npz") for s in (station, other))
    for printed in processes.end(*processes.start_all(first, second), status=1):
        assert "different weights, videos, tracks or settings" in printed
        assert "has gate=" in printed and "Traceback" not in printed
    first, second = (
        _embed(workdir, station, tmp_path / "x.npz", f"--keep={tmp_path / name}")
        for name in ("a", "b")
    )
    for printed in processes.end(*processes.start_all(first, second), status=1):
        assert "is another folder for process 1 than for the first one" in printed
    assert not list((tmp_path / "a").iterdir())


@pytest.mark.slow
def test_what_one_process_cannot_do_ends_both(workdir, tmp_path):
    commands = [
        ("evaluate.py", f"--workdir={folder}", *flags)
        for folder, flags in ((workdir, ()), (tmp_path / "none", ()))
    ]
    first, second = processes.end(*processes.start_all(*commands), status=1)
    assert "process 1 has stopped: see what it says" in first
    assert "holds no run" in second
    commands = [
        ("evaluate.py", f"--workdir={workdir}", f"--config.eval.max_frames={number}")
        for number in (2, 3)
    ]
    for printed in processes.end(*processes.start_all(*commands), status=1):
        assert "different configs" in printed and "Traceback" not in printed
    assert not (workdir / "eval").exists()


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [0, 1])
def test_a_signal_to_one_process_ends_both(workdir, station, tmp_path, interrupted):
    command = _embed(workdir, station, tmp_path / "x.npz", f"--keep={tmp_path / 'k'}")
    both = processes.start_all(command, command)
    deadline = time.monotonic() + 240
    while not (tmp_path / "k").exists() and time.monotonic() < deadline:
        time.sleep(0.1)  # until they have met
    both[interrupted].send_signal(signal.SIGINT)
    printed = [process.communicate(timeout=100)[0] for process in both]
    assert both[interrupted].returncode == -signal.SIGINT
    assert both[1 - interrupted].returncode == 1
    which = ("the first process", "process 1")[interrupted]
    assert f"{which} has stopped" in printed[1 - interrupted]
    assert "Traceback" not in "".join(printed)
