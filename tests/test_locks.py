"""Lock files: one holder at a time, whoever waits, is killed or is interrupted."""

import signal
import subprocess
import sys
import time

import filelock
import pytest

from reid_jax import locks
from reid_jax.errors import UserError
from tests import ROOT

_HOLD = """
import pathlib, sys, time
from reid_jax import locks
from reid_jax.cli import ending

def main():
    with locks.held(sys.argv[1], "to count"):
        print("held", flush=True)
        time.sleep(60)

ending.guard(main)
"""

_COUNT = """
import pathlib, sys
from reid_jax import locks
locks._POLL_SECONDS = 0.0003
count = pathlib.Path(sys.argv[1]) / "count"
for _ in range(100):
    with locks.held(count.with_name("lock"), "to count"):
        count.write_text(str(int(count.read_text()) + 1))
"""


def _start(program: str, *arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_no_two_hold_it_at_once(tmp_path):
    (tmp_path / "count").write_text("0")
    counters = [_start(_COUNT, tmp_path) for _ in range(3)]
    printed = [counter.communicate(timeout=100)[1] for counter in counters]
    assert all(c.returncode == 0 for c in counters), "\n".join(printed)
    assert (tmp_path / "count").read_text() == "300"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_who_waits_says_for_whom_and_goes_on_when_the_holder_is_killed(tmp_path):
    path = tmp_path / "new" / "lock"
    holder = _start(_HOLD, path)
    assert holder.stdout.readline() == "held\n"
    waiting = _start(_HOLD, path)
    printed = waiting.stderr.readline()
    assert printed == f"Waiting to count: another program has {path} locked.\n"
    holder.kill()
    holder.communicate()
    assert waiting.stdout.readline() == "held\n"
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate()[1] == "-c: interrupted.\n"  # the wait was said once


def test_ctrl_c_while_waiting_ends_in_one_line(tmp_path):
    with locks.held(tmp_path / "lock", "to count"):
        waiting = _start(_HOLD, tmp_path / "lock")
        waiting.stderr.readline()
        start = time.monotonic()
        waiting.send_signal(signal.SIGINT)
        assert waiting.communicate() == ("", "-c: interrupted.\n")
        assert waiting.returncode == -signal.SIGINT
        assert time.monotonic() - start < 5
        assert (tmp_path / "lock").exists()


def test_without_locks_it_goes_on_and_says_so_once(tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    for _ in range(2):
        with locks.held(tmp_path / "lock", "to count"):
            pass
    assert capsys.readouterr().err == (
        f"{tmp_path} is on a file system without locks: let one program at a time "
        "write there.\n"
    )


def test_a_place_where_no_file_can_be(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="file/lock is needed to count: "),
        locks.held(tmp_path / "file" / "lock", "to count"),
    ):
        pass
