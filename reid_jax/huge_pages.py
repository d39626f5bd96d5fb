"""Large arrays in huge pages, where the system gives them to programs that ask."""

import contextlib
import os
import pathlib
import sys

_SETTING = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
_VARIABLE = "GLIBC_TUNABLES"
_MARK = "REID_JAX_STARTED_AGAIN"  # the number of the process, which stays
_OLDEST = (2, 35)  # of the GNU C library, that can ask


def ask() -> None:
    """Start this program once more, its memory in huge pages; call it before imports.

    A training step on a CPU gets its large arrays anew each time, in pages of 4 kB
    hundreds of thousands of them. The C library reads whether to ask for huge ones only
    when a process starts. Nothing happens where the system gives them to all or to
    nobody, where there is another C library, where GLIBC_TUNABLES is set already, and
    in a process that was started for something else (a notebook, `python -c`).
    """
    has_started_again = os.environ.get(_MARK) == str(os.getpid())
    if _VARIABLE in os.environ or has_started_again:
        return
    if not (sys.executable and _is_the_program() and _helps()):
        return
    mark = {_VARIABLE: "glibc.malloc.hugetlb=1", _MARK: str(os.getpid())}
    environment = os.environ | mark
    command = [sys.executable, *sys.orig_argv[1:]]
    with contextlib.suppress(OSError):  # then without them
        os.execve(sys.executable, command, environment)


def _is_the_program() -> bool:
    """Whether the command line names this program: python train.py, python -m train."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    is_module = spec is not None and spec.name in sys.orig_argv
    is_file = sys.argv[0] not in ("", "-", "-c") and sys.argv[0] in sys.orig_argv[1:]
    return is_module or is_file


def _helps() -> bool:
    try:
        is_asked_for = "[madvise]" in _SETTING.read_text()
        version = os.confstr("CS_GNU_LIBC_VERSION").removeprefix("glibc ")
        return is_asked_for and tuple(map(int, version.split("."))) >= _OLDEST
    except (AttributeError, OSError, ValueError):  # another system or C library
        return False
