"""Which checkpoints are kept, and what becomes of damaged ones."""

import gc
import itertools
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reid_jax.runs import checkpoints
from reid_jax.runs import folder as run_folder
from reid_jax.steps import TrainState
from tests import processes

# When one read of a checkpoint has found it damaged, orbax drops its others, which
# complain when they end or are collected.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _late_reads_end_here():
    yield
    time.sleep(0.1)
    gc.collect()


def _state(step: int) -> TrainState:
    numbers = jax.random.normal(jax.random.key(step), (64, 64))
    return TrainState(
        jnp.int32(step), {"kernel": numbers}, {"mean": numbers[0]}, (numbers[1],)
    )


def _moved(workdir):
    """The folder elsewhere: TensorStore keeps what this process wrote in memory."""
    return shutil.move(workdir, workdir.with_name(f"{workdir.name}_moved"))


def _save(workdir, *steps: int, scores=None) -> checkpoints.Checkpoints:
    saved = checkpoints.Checkpoints(workdir, write=True)
    for step in steps:
        score = (scores or {}).get(step)
        saved.save(_state(step), None if score is None else {"mean_ap": score})
    return saved


def _largest_file(workdir, step: int):
    return max(_files(workdir, step), key=lambda f: f.stat().st_size)


def _files(workdir, step: int):
    files = (workdir / "checkpoints" / str(step)).rglob("*")
    return [file for file in files if file.is_file()]


def test_the_two_latest_and_the_best_are_kept(tmp_path):
    saved = _save(tmp_path, 1, 2, 3, 4, 5, scores={1: 0.3, 2: 0.8, 4: 0.5})
    for opened in (saved, checkpoints.Checkpoints(tmp_path)):
        assert opened.steps() == [2, 4, 5]
        assert (opened.best_step(), opened.latest_step()) == (2, 5)
        assert opened.best_metric(2) == 0.8
    assert int(saved.restore(2, _state(0)).step) == 2


def test_nothing_saved_is_no_error(tmp_path):
    assert checkpoints.Checkpoints(tmp_path).restore_newest(_state(0)) is None


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [_flip, _cut, lambda path: path.unlink()])
def test_a_damaged_checkpoint_is_reported_and_skipped(tmp_path, capsys, damage):
    _save(tmp_path, 1, 2, 3, scores={1: 0.9, 3: 0.5})
    damage(_largest_file(tmp_path, 3))
    tmp_path = _moved(tmp_path)
    opened = checkpoints.Checkpoints(tmp_path, write=True)
    step, state, _ = opened.restore_newest(_state(0))
    assert step == 2
    jax.tree.map(np.testing.assert_array_equal, state, _state(2))
    printed = capsys.readouterr().err
    assert "The checkpoint of step 3" in printed
    assert f"It is in {tmp_path / 'damaged' / '3'} now." in printed
    # The run goes on, and its record with it.
    assert (opened.steps(), opened.best_step()) == ([1, 2], 1)
    opened.save(_state(3))
    assert opened.restore_newest(_state(0))[0] == 3


def test_whichever_file_is_damaged_the_state_is_whole_or_refused(tmp_path):
    num_refused = 0
    names = []
    for number in itertools.count():
        workdir = tmp_path / f"run{number}"
        workdir.mkdir()
        _save(workdir, 1, 2, scores={2: 0.25}).close()
        files = sorted(_files(workdir, 2))
        if number >= len(files):
            break
        content = bytearray(files[number].read_bytes())
        if content:
            content[-len(content) // 2] ^= 1
            files[number].write_bytes(content)
        names.append(files[number].name)
        opened = checkpoints.Checkpoints(_moved(workdir), write=True)
        step, state, _ = opened.restore_newest(_state(0))
        num_refused += step == 1
        jax.tree.map(np.testing.assert_array_equal, state, _state(step))
        assert opened.best_step() == (2 if step == 2 else None)
    assert num_refused >= 3, names


def test_a_changed_record_is_noticed(tmp_path):
    _save(tmp_path, 1, scores={1: 0.25})
    (notes,) = (file for file in _files(tmp_path, 1) if b"0.25" in file.read_bytes())
    notes.write_bytes(notes.read_bytes().replace(b"0.25", b"0.95"))
    opened = checkpoints.Checkpoints(_moved(tmp_path))
    with pytest.raises(run_folder.WorkdirError, match="not those that were saved"):
        opened.restore(1, _state(0))


def test_what_is_not_logged_yet_comes_back(tmp_path):
    rows = [{"step": 1, "loss": 0.1}, {"step": 2, "loss": 1 / 3}]
    saved = checkpoints.Checkpoints(tmp_path, write=True)
    saved.save(_state(2), None, rows)
    assert saved.restore_newest(_state(0))[2] == rows


def test_without_a_whole_one_all_stay_where_they_are(tmp_path):
    _save(tmp_path, 1, 2)
    for step in (1, 2):
        _flip(_largest_file(tmp_path, step))
    tmp_path = _moved(tmp_path)
    opened = checkpoints.Checkpoints(tmp_path, write=True)
    with pytest.raises(run_folder.WorkdirError, match=r"step 2 .* step 1 in"):
        opened.restore_newest(_state(0))
    assert opened.steps() == [1, 2]


def test_an_unfinished_checkpoint_is_none(tmp_path):
    _save(tmp_path, 1)
    unfinished = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp-7"
    (tmp_path / "checkpoints" / "1").rename(unfinished)
    assert (
        checkpoints.Checkpoints(tmp_path, write=True).restore_newest(_state(0)) is None
    )


_OPENED = """
import logging, sys
from reid_jax.runs import checkpoints
from tests.runs import test_checkpoints
saved = checkpoints.Checkpoints(sys.argv[1])
saved.restore(1, test_checkpoints._state(1))
saved.close()
assert not logging.getLogger("absl").filters
"""


def test_opened_in_a_notebook_it_is_silent(tmp_path):
    """For programs that have not set which messages libraries may log."""
    saved = checkpoints.Checkpoints(tmp_path, write=True)
    saved.save(_state(1))
    saved.close()
    ended = processes.run("-c", _OPENED, tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
