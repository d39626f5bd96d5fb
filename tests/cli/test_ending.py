"""reid_jax/cli/ending.py: how programs end."""

import signal
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("error", "number", "said"),
    [
        ("KeyboardInterrupt", signal.SIGINT, "interrupted."),
        ("ending.Terminated", signal.SIGTERM, "terminated."),
    ],
)
def test_an_interrupted_program_ends_by_its_signal(error, number, said):
    """So that a shell's loop over such programs ends too."""
    code = f"""
from reid_jax.cli import ending
def main():
    raise {error}
ending.guard(main)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == -number
    assert ended.stderr == f"-c: {said}\n"
