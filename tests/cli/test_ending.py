"""reid_jax/cli/ending.py: how programs end."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from reid_jax.cli import ending
from reid_jax.errors import DivergedError, UserError
from tests import ROOT


@pytest.mark.parametrize(
    ("error", "number", "message"),
    [
        ("KeyboardInterrupt", signal.SIGINT, "interrupted."),
        ("ending.Terminated", signal.SIGTERM, "terminated."),
    ],
)
def test_an_interrupted_program_ends_by_its_signal(programs, error, number, message):
    """So that a shell's loop over such programs ends too."""
    code = f"""
from reid_jax.cli import ending
def main():
    raise {error}
ending.guard(main)
"""
    ended = programs.run("-c", code)
    assert ended.returncode == -number
    assert ended.stderr == f"-c: {message}\n"


@pytest.mark.parametrize("error", [None, ValueError("a fault"), SystemExit(0)])
def test_guard_puts_the_handlers_back(error):
    def handlers() -> list:
        numbers = (signal.SIGINT, signal.SIGTERM)
        return [*map(signal.getsignal, numbers), sys.unraisablehook]

    before = handlers()
    within = []

    def main():
        within.extend(handlers())
        if error:
            raise error

    try:
        ending.guard(main)
    except (ValueError, SystemExit) as raised:
        assert raised is error
    assert handlers() == before
    assert all(each not in before for each in within[1:])  # SIGINT's may be the same


_LOSES = """
import gc, os, signal, time
from reid_jax.cli import ending
places = []
def lose(place):
    places.append(place)
    if len(places) == 1:
        os.kill(os.getpid(), {number})
    time.sleep(20)  # until it is interrupted, and the interrupt is lost
class Losing:
    def __del__(self):
        lose("__del__")
def main():
    callback = lambda phase, info: phase == "start" and lose("gc")
    gc.disable()
    gc.callbacks.append(callback)
    gc.collect()
    gc.callbacks.remove(callback)
    for _ in range(3):
        Losing()
    print(*places, flush=True)
    time.sleep(20)
ending.guard(main)
"""


@pytest.mark.parametrize(
    ("number", "message"),
    [(signal.SIGINT, "interrupted."), (signal.SIGTERM, "terminated.")],
)
def test_an_interrupt_that_python_ignores_comes_again(programs, number, message):
    """Until it comes where it is not lost."""
    start = time.monotonic()
    ended = programs.run("-c", _LOSES.format(number=int(number)))
    assert ended.stdout == "gc __del__ __del__ __del__\n"
    assert ended.stderr == f"-c: {message}\n"
    assert ended.returncode == -number
    assert time.monotonic() - start < 20


def test_other_errors_that_python_ignores_go_where_they_went(monkeypatch):
    ignored = []
    monkeypatch.setattr(sys, "unraisablehook", lambda x: ignored.append(x.exc_type))

    class Failing:
        def __del__(self):
            raise ValueError

    def main():
        Failing()

    ending.guard(main)
    assert ignored == [ValueError]


def _line(capsys, error: BaseException, *given: object) -> str:
    """Line that `one_line_errors` prints for an error that ends the program."""
    with (
        pytest.raises(SystemExit) as ended,
        ending.one_line_errors(given, program="prog"),
    ):
        raise error
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def _is_kept(error: BaseException, *given: object) -> bool:
    """Whether the error comes out of `one_line_errors`, with its traceback."""
    try:
        with ending.one_line_errors(given):
            raise error
    except SystemExit:
        return False
    except type(error) as raised:
        return raised is error


def test_what_the_user_can_mend_is_one_line(capsys):
    assert _line(capsys, UserError("p=0")) == "prog: p=0\n"
    assert "loss" in _line(capsys, DivergedError("the loss is not finite"))
    assert "No space" in _line(capsys, OSError(errno.ENOSPC, "No space left"))


def test_faults_keep_their_traceback():
    for error in (ValueError("cannot reshape"), TypeError(), AssertionError()):
        assert _is_kept(error)
    assert _is_kept(OSError("without a file"), "")


def test_files_that_the_user_named_are_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").symlink_to("disk")

    def error(*paths: object) -> OSError:
        first, second = (*map(os.fspath, paths), None)[:2]
        return PermissionError(errno.EACCES, "Permission denied", first, None, second)

    file = tmp_path / "run" / "eval" / "scores.json"
    assert "scores.json" in _line(capsys, error(file), file)
    for given in ("run", tmp_path / "run", "a,run", "disk", "./x/../run", b"run"):
        assert _line(capsys, error(file), 3, None, given)
    assert _line(capsys, error("elsewhere", file), "run")  # os.replace's has two
    for given in ("", "ru", "run/eval/scores", "run/eval/x", None, 3, True):
        assert _is_kept(error(file), given)
    assert _is_kept(error("/etc/shadow"), "run")


_PROGRAM = """
import sys
from absl import flags
from reid_jax.cli import flags as cli_flags
from reid_jax.errors import UserError
def define_flags():
    flags.DEFINE_string("workdir", "runs", "")
def main():
    {}
cli_flags.parse(define_flags)
cli_flags.run(main)
"""


@pytest.mark.parametrize(
    ("statement", "is_one_line"),
    [
        ("raise UserError('a mistake')", True),
        ("raise ValueError('a fault')", False),
        ("open(flags.FLAGS.workdir + '/absent')", True),
        ("open('/absent/file')", False),
    ],
)
def test_a_program_says_one_line_or_shows_where(
    programs, tmp_path, statement, is_one_line
):
    code = _PROGRAM.format(statement)
    ended = programs.run("-c", code, f"--workdir={tmp_path}")
    assert ended.returncode == 1
    assert ("Traceback" not in ended.stderr) == is_one_line
    assert (ended.stderr.count("\n") == 1) == is_one_line


@pytest.mark.parametrize("platform", ["abacus", "cuda"])
def test_a_platform_that_is_not_here_is_one_line(programs, platform):
    statement = (
        "import jax; jax.config.update('jax_platforms', sys.argv[1]); jax.devices()"
    )
    code = _PROGRAM.format(statement.replace("sys.argv[1]", repr(platform)))
    if platform == "cuda" and pathlib.Path("/proc/driver/nvidia").exists():
        pytest.skip("there is a GPU here")
    ended = programs.run("-c", code)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"-c: JAX_PLATFORMS={platform} asks for devices that JAX")
    assert "it can use: cpu" in line


def _catches_ctrl_c(process: subprocess.Popen) -> bool:
    """Whether a process has set a handler for SIGINT."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGINT - 1) & 1)


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux")
@pytest.mark.parametrize("seconds", [0, 0.3, 1.0])
@pytest.mark.parametrize(
    "program",
    [
        ("train.py", "--config=configs/demo.py"),
        ("evaluate.py", "--table=5"),
        ("-m", "data.prepare", "walkers/tiny"),
        ("-m", "reid_jax.convert_weights", "absent.npz"),
    ],
)
def test_ctrl_c_while_a_program_starts(tmp_path, program, seconds):
    """From its first statement on, a program ends by Ctrl-C without a traceback."""
    arguments = list(program)
    match program[0], program[1]:
        case "train.py", _:
            arguments += [f"--config.data.data_dir={tmp_path}", f"--workdir={tmp_path}"]
        case _, "data.prepare":
            arguments += [f"--data_dir={tmp_path}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
    try:
        # Its first import is done, and Python's own handler is no more.
        deadline = time.monotonic() + 60
        while "| signal\n" not in (printed := (tmp_path / "log").read_text()) or (
            _catches_ctrl_c(process)
        ):
            assert time.monotonic() < deadline, printed
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        status = process.wait(60)
    finally:
        process.kill()
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert status == -signal.SIGINT or seconds  # late, the shorter ones are done
