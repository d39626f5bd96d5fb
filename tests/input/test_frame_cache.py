"""reid_jax/input/frame_cache.py: written once, read from disk or memory, joined."""

import errno
import os

import numpy as np
import pytest

from reid_jax.errors import UserError
from reid_jax.input import frame_cache
from tests import hand_made


def _split(tmp_path, name, pids, camids):
    examples = [
        {
            "tracklet": f"t{i}",
            "frames": [f"{name} {i} {t}".encode() for t in range(i + 1)],
            "pid": pid,
            "camid": camid,
        }
        for i, (pid, camid) in enumerate(zip(pids, camids, strict=True))
    ]
    return frame_cache.open_split(tmp_path / name, "train", lambda: examples)


@pytest.fixture
def split(tmp_path):
    return hand_made.five_persons(tmp_path)


def test_frames_come_back_and_the_cache_is_written_once(tmp_path, split):
    assert split.frame(3, 8) == hand_made.encode(38)
    assert split.names[3] == "3-3"
    again = frame_cache.open_split(tmp_path, "train", lambda: pytest.fail("read again"))
    assert again.frame(8, 1) == hand_made.encode(81)


def test_an_empty_file_is_named(split):
    os.truncate(split.path, 0)
    with pytest.raises(UserError, match=r"train\.frames is empty\. Delete "):
        split.frame(3, 8)


def test_a_cache_is_whole_or_not_there(tmp_path):
    def breaks():
        yield {"frames": [b"abc"], "pid": 1, "camid": 0, "tracklet": "a"}
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        frame_cache.open_split(tmp_path, "train", breaks)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664)])
def test_colleagues_can_read_it(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        _split(tmp_path, "cache", [1], [0])
    finally:
        os.umask(before)
    cached = list((tmp_path / "cache").iterdir())
    assert [path.stat().st_mode & 0o777 for path in cached] == [mode, mode]


@pytest.mark.parametrize("after", [0, 1])
def test_a_full_disk_is_one_line(tmp_path, after):
    def fills():
        yield from [{"frames": [b"abc"], "pid": 1, "camid": 0, "tracklet": "a"}] * after
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        UserError, match=r"No space .* --config.data.data_dir"
    ) as caught:
        frame_cache.open_split(tmp_path / "cache", "train", fills)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())


def test_a_cache_of_an_older_version_is_written_anew(tmp_path, split):
    index = tmp_path / "train.index.npz"
    with np.load(index) as arrays:
        older = {name: arrays[name] for name in arrays if name != "sizes"}
    np.savez(index, **older)
    assert frame_cache.open_split(tmp_path, "train", lambda: []).sizes.shape == (0, 2)


def test_joined_splits_keep_persons_cameras_and_frames_apart(tmp_path):
    first = _split(tmp_path, "a", [4, 2, 0, -1, 4], [0, 2, 1, 0, 1])
    second = _split(tmp_path, "b", [1, 4, 0], [0, 0, 1])
    joined = frame_cache.join({"set/a": first, "set/b": second, "c": first})
    assert len(joined) == 13
    assert joined.names[[0, 5, 8]].tolist() == ["set/a:t0", "set/b:t0", "c:t0"]
    assert joined.pids.tolist() == [4, 2, 0, -1, 4, 5, 8, 0, 12, 10, 0, -1, 12]
    assert joined.camids.tolist() == [0, 2, 1, 0, 1, 3, 3, 4, 5, 7, 6, 5, 6]
    for i, (part, row) in enumerate(
        [(first, r) for r in range(5)]
        + [(second, r) for r in range(3)]
        + [(first, r) for r in range(5)]
    ):
        assert joined.num_frames[i] == part.num_frames[row]
        for t in range(joined.num_frames[i]):
            assert joined.frame(i, t) == part.frame(row, t)
    with pytest.raises(IndexError, match="frame 36 of 36"):
        joined.frame_at(36)
