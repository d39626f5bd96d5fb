"""kill -9 at random moments loses nothing: the run ends as if it had not been."""

import hashlib
import json
import random
import signal
import time

import pytest

from reid_jax.runs import checkpoints
from reid_jax.runs import log as metric_log
from tests import processes

NUM_KILLS = 20
NUM_STEPS = 300
ARGUMENTS = (
    *processes.TINY,
    f"--config.train.max_steps={NUM_STEPS}",
    "--config.train.epochs=1000",
    "--config.train.log_every_steps=3",
    "--config.train.checkpoint_every_epochs=1",  # half of the time it writes one
    "--config.train.eval_every_epochs=50",
)


@pytest.fixture(scope="module")
def start(walkers_tiny, tmp_path_factory):
    compiled = str(tmp_path_factory.mktemp("xla"))

    def start_(workdir, num_devices):
        return processes.start(
            *ARGUMENTS,
            f"--config.data.data_dir={walkers_tiny}",
            f"--workdir={workdir}",
            num_devices=num_devices,
            JAX_COMPILATION_CACHE_DIR=compiled,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.3",
        )

    return start_


def _end_of(workdir):
    """Digests of the final and the best weights, the record, and the log."""
    saved = checkpoints.Checkpoints(workdir)
    best = saved.best_step()
    digests = {step: saved.fingerprint(step) for step in (best, NUM_STEPS)}
    log = [json.loads(s) for s in (workdir / "metrics.jsonl").read_text().splitlines()]
    for row in log:
        for name in metric_log.TIMES:
            row.pop(name, None)
    scores = next(workdir.glob("eval/*/scores.json")).read_bytes()
    return digests, saved.best_metric(best), log, hashlib.sha256(scores).hexdigest()


def _logged(workdir) -> int:
    log = workdir / "metrics.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 4])
def test_killed_at_random_moments_it_is_the_same_run(tmp_path, start, num_devices):
    processes.end(start(tmp_path / "straight", num_devices))
    workdir, rng = tmp_path / "killed", random.Random(num_devices)
    lives = []
    for life in range(NUM_KILLS):
        process = start(workdir, num_devices)
        # One in five while it starts or resumes, the others once it trains.
        num_wanted, moment = (0, 3.0) if life % 5 == 0 else (rng.randrange(1, 5), 0.3)
        num_lines = 0
        while num_lines < num_wanted and (line := process.stdout.readline()):
            num_lines += line.startswith("step ")
        time.sleep(rng.uniform(0, moment))
        process.kill()
        process.wait()
        process.stdout.close()
        assert process.returncode == -signal.SIGKILL
        unfinished = list((workdir / "checkpoints").glob("*tmp*"))
        lives.append((_logged(workdir), len(unfinished)))
    print("lines of the log and unfinished checkpoints after each life:", lives)
    assert any(unfinished for _, unfinished in lives)  # it was writing one
    printed = processes.end(start(workdir, num_devices))[0]
    assert "Resuming" in printed
    assert _end_of(workdir) == _end_of(tmp_path / "straight")
