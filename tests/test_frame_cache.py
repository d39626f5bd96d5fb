"""reid_jax/frame_cache.py: several splits as one."""

import pytest

from reid_jax import frame_cache


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
