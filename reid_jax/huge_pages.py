"""Large arrays in huge pages, where the system gives them to programs that ask."""

import contextlib
import os
import pathlib
import sys

_SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
_VARIABLE = "GLIBC_TUNABLES"
_OLDEST = (2, 35)  # of the GNU C library, that can ask


def ask() -> None:
    """Start this program once more, its memory in huge pages; call it before imports.

    A training step on a CPU gets its large arrays anew each time, in pages of 4 kB
    hundreds of thousands of them. The C library reads whether to ask for huge ones only
    when a process starts. Nothing happens where the system gives them to all or to
    nobody, where there is another C library, and where GLIBC_TUNABLES is set already.
    """
    if _VARIABLE in os.environ or not (sys.executable and _helps()):
        return
    environment = os.environ | {_VARIABLE: "glibc.malloc.hugetlb=1"}
    command = [sys.executable, *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):  # then without them
        os.execve(sys.executable, command, environment)


def _helps() -> bool:
    try:
        is_asked_for = "[madvise]" in _SETTING.read_text()
        version = os.confstr("CS_GNU_LIBC_VERSION").removeprefix("glibc ")
        return is_asked_for and tuple(map(int, version.split("."))) >= _OLDEST
    except (AttributeError, OSError, ValueError):  # another system or C library
        return False
