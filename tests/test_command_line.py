"""reid_jax/command_line.py: how programs end."""

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("error", "number", "said"),
    [
        ("KeyboardInterrupt", signal.SIGINT, "interrupted."),
        ("command_line.Terminated", signal.SIGTERM, "terminated."),
    ],
)
def test_an_interrupted_program_ends_by_its_signal(error, number, said):
    """So that a shell's loop over such programs ends too."""
    code = f"""
from reid_jax import command_line
def main():
    raise {error}
command_line.guard(main)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == -number
    assert ended.stderr == f"-c: {said}\n"
