"""Failures while a run is trained, and the files that remain then."""

import dataclasses
import errno
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from PIL import Image

import train
from data import prepare
from reid_jax import steps
from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.scoring import embeddings
from tests import processes, source_layouts


@pytest.mark.slow
def test_a_diverging_run_stops_before_anything_is_lost(tmp_path, tiny_run):
    tiny_run.model.temporal = "attn_tconv"
    tiny_run.train.learning_rate = 1e30
    tiny_run.train.eval_every_epochs = 10
    tiny_run.train.checkpoint_every_epochs = 1
    tiny_run.train.log_every_steps = 10
    with pytest.raises(FloatingPointError, match="the loss of step 2 is not finite"):
        train.train(tiny_run, tmp_path)
    tiny_run.train.max_steps = 1  # its loss is finite
    with pytest.raises(FloatingPointError, match="parameters after step 1 are not"):
        train.train(tiny_run, tmp_path)
    assert checkpoints.Checkpoints(tmp_path).latest_step() is None
    # Nothing was saved, so the workdir is free for the advice to be followed.
    tiny_run.train.learning_rate = 3e-4
    train.train(tiny_run, tmp_path)
    assert checkpoints.Checkpoints(tmp_path).latest_step() == 1


def test_a_nan_at_step_3_leaves_the_checkpoint_of_step_2(
    tmp_path, tiny_run, monkeypatch
):
    """In a statistic, which no loss of training shows."""
    make = steps.make_train_step

    def poisoned(*args):
        step = make(*args)

        def train_step(state, batch):
            state, metrics = step(state, batch)
            if int(state.step) == 3:
                leaves, tree = jax.tree.flatten(state.batch_stats)
                leaves[0] = leaves[0] * jnp.nan
                state = dataclasses.replace(
                    state, batch_stats=jax.tree.unflatten(tree, leaves)
                )
            return state, metrics

        return train_step

    tiny_run.train.checkpoint_every_epochs = 1  # two steps
    monkeypatch.setattr(steps, "make_train_step", poisoned)
    with pytest.raises(FloatingPointError, match="parameters after step 4 are not"):
        train.train(tiny_run, tmp_path)
    assert checkpoints.Checkpoints(tmp_path).latest_step() == 2


def test_a_score_that_fails_loses_no_step(tmp_path, tiny_run, monkeypatch):
    def fails(*_):
        raise ValueError("damaged image")

    monkeypatch.setattr(embeddings, "embed_queries_and_gallery", fails)
    with pytest.raises(ValueError, match="damaged image"):
        train.train(tiny_run, tmp_path)
    assert checkpoints.Checkpoints(tmp_path).latest_step() == 2  # where it was scored


def test_a_full_disk_keeps_the_earlier_checkpoints(
    tmp_path, tiny_run, trained, monkeypatch
):
    workdir = shutil.copytree(trained, tmp_path / "run")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(run_folder.WorkdirError, match=r"No space left.*step 4.*\[2\]"):
        train.train(tiny_run, workdir)


def test_a_dataset_that_changed_since_the_checkpoint(tmp_path, tiny_run):
    source, data_dir = tmp_path / "station", tmp_path / "datasets"
    source_layouts.write_tracklet_folder(source)
    tiny_run.data.update(name="tracklet_folder/station", data_dir=str(data_dir))
    tiny_run.data.update(p=1, k=2)
    tiny_run.train.max_steps = 0
    for shade in (0, 200):
        Image.new("RGB", (4, 9), (shade,) * 3).save(source / "cam0/anna/3.png")
        shutil.rmtree(data_dir, ignore_errors=True)
        prepare.build(prepare.find_builder(tiny_run.data.name, data_dir), source)
        if shade == 0:
            train.train(tiny_run, tmp_path / "run")
    with pytest.raises(run_folder.WorkdirError, match="station has changed since"):
        train.train(tiny_run, tmp_path / "run")


def test_one_workdir_one_run_and_sigterm_saves_it(tmp_path, tiny_run):
    workdir = tmp_path / "run"
    run = processes.start(
        *processes.TINY,
        f"--config.data.data_dir={tiny_run.data.data_dir}",
        f"--workdir={workdir}",
        *("--config.train.epochs=100000", "--config.train.eval_every_epochs=100000"),
        "--config.train.checkpoint_every_epochs=100000",
    )
    processes.wait_for_lines(run, workdir / "metrics.jsonl", 3)
    refused = f"{workdir} is being written by process {run.pid} on"
    with pytest.raises(run_folder.WorkdirError, match=refused):
        train.train(tiny_run, workdir)
    run.send_signal(signal.SIGTERM)
    (printed,) = processes.end(run, status=-signal.SIGTERM)
    step = checkpoints.Checkpoints(workdir).latest_step()
    assert step >= 3
    assert f"Interrupted: step {step} of" in printed
    assert "Traceback" not in printed


def _on_small_disk(disk: pathlib.Path, size: str, script: str):
    """Run a shell script for which `disk` is a file system of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare to mount a small disk with")
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={size} tmpfs {disk} || exit 77\n"
    ended = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "bash",
            "-c",
            mount + script,
        ],
        capture_output=True,
        text=True,
        cwd=processes.ROOT,
    )
    if ended.returncode == 77 or "unshare:" in ended.stderr:
        pytest.skip("this system mounts no disk for its users")
    assert "Traceback" not in ended.stderr
    return ended


def _command(walkers_tiny, workdir, *arguments: str) -> str:
    data = f"--config.data.data_dir={walkers_tiny}"
    return shlex.join(
        [sys.executable, *processes.TINY, data, f"--workdir={workdir}", *arguments]
    )


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path, walkers_tiny):
    disk = tmp_path / "disk"
    train_to = [
        _command(
            *(walkers_tiny, disk / "run", "--config.train.epochs=100"),
            *(
                "--config.train.checkpoint_every_epochs=1",
                f"--config.train.max_steps={n}",
            ),
        )
        for n in (2, 6)
    ]
    script = f"""
        {train_to[0]} || exit 1
        left=$(df --output=avail --block-size=1 {disk} | tail -n 1)
        head -c $((left - 300000)) /dev/zero > {disk}/filler
        {train_to[1]}; echo "status $?"
        rm {disk}/filler
        {train_to[1]}; echo "status $?"
        cp -r {disk}/run {tmp_path}/saved
    """
    ended = _on_small_disk(disk, "30m", script)
    _, after = ended.stdout.split("status 1")
    assert "No space left for the checkpoint of step 4" in ended.stderr
    assert "whole checkpoints there: [2]. Free some space and run" in ended.stderr
    assert "Resuming" in after and "status 0" in after
    assert checkpoints.Checkpoints(tmp_path / "saved").latest_step() == 6


_FILL = """
import pathlib, shutil, sys, types
import jax
from reid_jax import steps
from reid_jax.runs import checkpoints, folder as run_folder, log as metric_log

workdir = pathlib.Path(sys.argv[1])
shutil.disk_usage = lambda path: types.SimpleNamespace(free=2**40)  # as a quota does
saved = checkpoints.Checkpoints(workdir, write=True)
try:
    for step in range(1, 9):
        kernel = jax.random.normal(jax.random.key(step), (1024, 512))
        saved.save(steps.TrainState(jax.numpy.int32(step), {"w": kernel}, {}, ()))
except run_folder.WorkdirError as error:
    print(error, saved.steps(), list(workdir.glob("checkpoints/*tmp*")))
log = metric_log.MetricLog(workdir, 0)
try:
    for step in range(10**6):
        log.write(step, {"loss": 0.5})
except run_folder.WorkdirError as error:
    print(error)
log.close()
"""


@pytest.mark.slow
def test_writes_that_fail_on_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    script = shlex.join([sys.executable, "-c", _FILL, str(disk)])
    ended = _on_small_disk(disk, "5m", script)
    assert ended.returncode == 0, ended.stderr
    of_saving, of_logging = ended.stdout.splitlines()
    assert "No space left for the checkpoint of step " in of_saving
    saved_steps = of_saving.partition("there: ")[2].partition(". ")[0]
    assert saved_steps != "none" and of_saving.endswith(f"{saved_steps} []")
    assert f"log in {disk} cannot be written: No space left on device" in of_logging
    assert "Free some space and run the same command" in of_logging


@pytest.mark.slow
def test_a_workdir_that_cannot_be_written(tmp_path, walkers_tiny):
    disk = tmp_path / "disk"
    script = f"""
        mount -o remount,ro {disk}
        {_command(walkers_tiny, disk / "run")}; echo "status $?"
    """
    ended = _on_small_disk(disk, "1m", script)
    assert "status 1" in ended.stdout
    assert f"--workdir={disk}/run: Read-only file system." in ended.stderr
