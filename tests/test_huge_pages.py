"""Programs that start once more, with their memory in huge pages."""

import json
import os
import platform
import sys
import types

import pytest

from reid_jax import huge_pages
from tests import processes

_PROGRAM = """
import json, os, pathlib, sys
sys.path.insert(0, {root!r})
from reid_jax import huge_pages
huge_pages._SETTING = pathlib.Path({setting!r})
huge_pages.ask()
tunables = os.environ.get("GLIBC_TUNABLES")
print(json.dumps([sys.argv[1:], tunables, sys.flags.utf8_mode]))
"""


@pytest.fixture
def setting(tmp_path, monkeypatch):
    """The system's setting as a file, and what was started."""
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    monkeypatch.setattr(huge_pages, "_SETTING", path)
    monkeypatch.setattr(os, "confstr", lambda name: "glibc 2.36")
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    monkeypatch.setattr(sys, "argv", ["train.py", "--a=b"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "utf8", *sys.argv])
    started = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    return path, started


def test_starts_itself_with_the_same_arguments(setting):
    huge_pages.ask()
    (program, command, environment) = setting[1][0]
    assert program == sys.executable
    assert command == [sys.executable, "-X", "utf8", "train.py", "--a=b"]
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert "GLIBC_TUNABLES" not in os.environ


@pytest.mark.parametrize("text", ["[always] madvise never", "always madvise [never]"])
def test_not_where_the_system_does_not_ask(setting, text):
    path, started = setting
    path.write_text(text)
    huge_pages.ask()
    path.unlink()
    huge_pages.ask()
    assert not started


@pytest.mark.parametrize("library", ["glibc 2.34", "musl", None])
def test_not_with_another_c_library(setting, monkeypatch, library):
    monkeypatch.setattr(os, "confstr", lambda name: library)
    huge_pages.ask()
    assert not setting[1]


@pytest.mark.parametrize("value", ["", "glibc.malloc.hugetlb=0"])
def test_a_users_own_setting_stays(setting, monkeypatch, value):
    monkeypatch.setenv("GLIBC_TUNABLES", value)
    huge_pages.ask()
    assert not setting[1]


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["-"], ["python", "-"]),  # a program from standard input
        (["-c"], ["python", "-c", "import train"]),
        (["train.py"], ["python", "/bin/ipython"]),  # %run train.py
        ([""], ["python", "-i"]),
    ],
)
def test_not_in_a_process_that_is_another_program(setting, monkeypatch, argv, command):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", command)
    huge_pages.ask()
    assert not setting[1]


def test_starts_a_module_again(setting, monkeypatch):
    spec = types.SimpleNamespace(name="train")
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/home/me/train.py"])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "train"])
    huge_pages.ask()
    assert setting[1][0][1] == [sys.executable, "-m", "train"]


def test_starts_again_only_once(setting, monkeypatch):
    # Something may take the variable away: a sitecustomize, or the C library.
    huge_pages.ask()
    for name, value in setting[1][0][2].items():
        if name != "GLIBC_TUNABLES":
            monkeypatch.setenv(name, value)
    huge_pages.ask()
    assert len(setting[1]) == 1


def test_goes_on_if_it_cannot_start_again(setting, monkeypatch):
    def fails(*arguments):
        raise OSError("Argument list too long")

    monkeypatch.setattr(os, "execve", fails)
    huge_pages.ask()


def test_a_process_has_them(tmp_path, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    setting, program = tmp_path / "enabled", tmp_path / "program.py"
    setting.write_text("always [madvise] never\n")
    program.write_text(_PROGRAM.format(root=str(processes.ROOT), setting=str(setting)))
    done = processes.run("-X", "utf8", program, "a b", "--c=")
    assert done.returncode == 0, done.stderr
    tunables = "glibc.malloc.hugetlb=1" if _can_ask() else None
    assert json.loads(done.stdout) == [["a b", "--c="], tunables, 1]


def _can_ask() -> bool:
    """This machine's C library."""
    name, version = platform.libc_ver()
    return name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
