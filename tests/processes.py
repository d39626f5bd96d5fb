"""Running train.py as a user does, on simulated devices, in processes of its own."""

import os
import pathlib
import socket
import subprocess
import sys
import time

from tests import ROOT

TINY = (
    *("train.py", "--config=configs/demo.py", "--config.data.name=walkers/tiny"),
    *("--config.model.backbone=resnet14_w8", "--config.model.clip_length=2"),
    *("--config.model.frame_size=(32,16)", "--config.data.p=4", "--config.data.k=2"),
    *("--config.eval.batch_clips=8", "--config.train.log_every_steps=1"),
    *("--config.train.optimizer=sgd", "--config.train.learning_rate=0.05"),
    *("--config.eval.baselines=False", "--config.eval.pictures=False"),
)
"""A run of walkers/tiny, two steps an epoch, that takes seconds."""


def start(*arguments: str, num_devices: int = 1, **environment: str):
    """A Python process with `arguments` whose output is one text."""
    count = f"--xla_force_host_platform_device_count={num_devices}"
    flags = f"{os.environ.get('XLA_FLAGS', '')} {count}"  # the last one counts
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def free_address() -> str:
    """host:port of this machine for the processes of a run to meet at."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start_all(*flags: tuple[str, ...], num_devices: int = 1, **environment: str):
    """The processes of one run; `flags` has the arguments of each."""
    both = (f"--coordinator={free_address()}", f"--num_processes={len(flags)}")
    return [
        start(
            *own_flags,
            *both,
            f"--process_id={i}",
            num_devices=num_devices,
            **environment,
        )
        for i, own_flags in enumerate(flags)
    ]


def run(*arguments, **environment: str) -> subprocess.CompletedProcess[str]:
    """A Python process with `arguments`, when it has ended."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def end(*processes: subprocess.Popen, status: int = 0) -> list[str]:
    """Returns the output of processes, which all have to end with `status`."""
    try:
        printed = [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(p.returncode == status for p in processes), "\n".join(printed)
    return printed


def wait_for_lines(run: subprocess.Popen, log: pathlib.Path, number: int) -> None:
    """Until the log of a run that has been started has so many lines."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and run.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= number:
            return
        time.sleep(0.1)
    run.kill()
    raise AssertionError(run.communicate()[0])
