"""Programs run in forks of one process that has imported what they import.

A start of Python takes seconds, for its imports; a fork of one takes none.
"""

import json
import subprocess
import sys

from tests import ROOT

_SERVER = """
import importlib, json, os, runpy, signal, sys, warnings
sys.path[0] = os.getcwd()
from reid_jax.cli import ending
ending.quieten_tensorflow()
import evaluate, train
while line := sys.stdin.readline():
    modules, argv, files = json.loads(line)
    for name in modules:
        importlib.import_module(name)
    with warnings.catch_warnings(action="ignore"):  # no thread of JAX runs yet
        child = os.fork()
    if child == 0:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    os._exit(0)
signal.alarm(300)
for number, file in enumerate(files, 1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
if argv[0] == "-c":
    sys.argv = ["-c", *argv[2:]]
    exec(compile(argv[1], "<string>", "exec"), {"__name__": "__main__"})
else:
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")
"""


class Programs:
    """Runs train.py, evaluate.py and what `python -c` is given."""

    def __init__(self, folder):
        self._outputs = [folder / "stdout", folder / "stderr"]
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, *argv, imported=()) -> subprocess.CompletedProcess[str]:
        """Like `processes.run`: returns the program when it has ended.

        The modules of `imported` are imported for it and all that follow.
        """
        request = [imported, list(map(str, argv)), list(map(str, self._outputs))]
        print(json.dumps(request), file=self._server.stdin, flush=True)
        status = int(self._server.stdout.readline())
        texts = [file.read_text() for file in self._outputs]
        return subprocess.CompletedProcess(argv, status, *texts)

    def close(self) -> None:
        self._server.communicate(timeout=60)
