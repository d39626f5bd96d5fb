"""A run's folder is of one run, one process, one dataset."""

import json
import subprocess
import sys

import numpy as np
import pytest

from configs import base
from reid_jax.runs import folder as run_folder

_HOLD = """
import sys
from reid_jax.runs import folder as run_folder
with run_folder.lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_two_processes_cannot_write_to_one_folder(tmp_path, holder):
    with (
        pytest.raises(
            run_folder.WorkdirError, match=f"written by process {holder.pid} on "
        ),
        run_folder.lock(tmp_path),
    ):
        pass


def test_a_folder_whose_owner_was_killed_is_free(tmp_path, holder):
    holder.kill()
    holder.wait()
    with run_folder.lock(tmp_path), run_folder.lock(tmp_path / "other"):
        assert "process" in (tmp_path / "lock").read_text()


def test_places_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(run_folder.WorkdirError, match="--workdir="):
            run_folder.lock(path).__enter__()


def _claim(workdir, *, pids=(1, 2), fingerprint="tracklets", **train):
    config = base.get_config()
    config.train.update(train)
    run_folder.claim_config(workdir, config, np.array(pids), fingerprint)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"learning_rate": 0.5}, "train.learning_rate was 0.0003, now 0.5"),
        ({"pids": (1, 3)}, "trained on other persons than mars has now"),
        ({"fingerprint": "others"}, "mars has changed since .* other tracklets or fr"),
    ],
)
def test_what_a_run_cannot_go_on_with(tmp_path, changed, message):
    _claim(tmp_path)
    _claim(tmp_path, **changed)  # without a checkpoint nothing is claimed
    _claim(tmp_path)
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    with pytest.raises(run_folder.WorkdirError, match=message):
        _claim(tmp_path, **changed)
    _claim(tmp_path, epochs=900, max_steps=5)
    assert json.loads((tmp_path / "config.json").read_text())["train"]["epochs"] == 900


def test_an_unfinished_first_checkpoint_claims_nothing(tmp_path):
    _claim(tmp_path)
    (tmp_path / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir(parents=True)
    _claim(tmp_path, learning_rate=0.5)
    assert run_folder.load_config(tmp_path).train.learning_rate == 0.5


def test_without_its_persons_a_run_cannot_be_used(tmp_path):
    _claim(tmp_path)
    assert run_folder.load_pids(tmp_path) == [1, 2]
    for content in ('{"pids": [1', None):
        path = tmp_path / "training_data.json"
        path.write_text(content) if content else path.unlink()
        with pytest.raises(run_folder.WorkdirError, match="missing or damaged"):
            run_folder.load_pids(tmp_path)


def test_without_its_config_a_run_is_not_claimed_again(tmp_path):
    _claim(tmp_path)
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    (tmp_path / "config.json").unlink()
    with pytest.raises(run_folder.WorkdirError, match=r"no config\.json"):
        _claim(tmp_path)


@pytest.mark.parametrize(
    "content", ["[]", "5", "null", '{"data": 5}', '{"data": {"p": "x"}}', "{", "\xff"]
)
@pytest.mark.parametrize("name", ["config.json", "training_data.json"])
def test_other_content_is_one_error(tmp_path, name, content):
    _claim(tmp_path)
    (tmp_path / "checkpoints" / "7").mkdir(parents=True)
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(run_folder.WorkdirError, match=f"{name} is .*damaged"):
        _claim(tmp_path)


def test_a_run_of_an_earlier_version(tmp_path):
    _claim(tmp_path)
    (tmp_path / "training_data.json").rename(tmp_path / "identities.json")
    with pytest.raises(run_folder.WorkdirError, match="earlier version of reid-jax"):
        run_folder.load_pids(tmp_path)
