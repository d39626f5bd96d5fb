"""reid_jax/runs/embeddings.py: means over clips, and the file they are kept in."""

import numpy as np
import pytest

from reid_jax import peers
from reid_jax.runs import embeddings
from reid_jax.runs.embeddings import Embedded, embed_tracklets

BATCHES = [
    {"clips": np.array([1.0, 3.0, 10.0]), "tracklet": np.array([0, 0, 2])},
    {"clips": np.array([20.0, 5.0, 99.0]), "tracklet": np.array([2, 1, -1])},
]


def _embed(clips):
    return np.stack([clips, -clips], axis=1)


def test_a_tracklet_is_the_mean_of_its_clips():
    result = embed_tracklets(_embed, BATCHES, 3)
    np.testing.assert_array_equal(result, [[2, -2], [5, -5], [15, -15]])


def test_processes_add_up_what_each_embedded(monkeypatch):
    others = []

    def noted(sums):
        others.append(sums.copy())
        return sums

    monkeypatch.setattr(peers, "told_by_all", lambda dims: [dims, 2])
    monkeypatch.setattr(peers, "sum_of_all", noted)
    for share in ([], BATCHES[:1]):
        embed_tracklets(_embed, share, 3, or_nan=True, together=True)
    assert others[0].shape == (3, 2) and not others[0].any()  # it had no batch
    rest = iter(others[2:])
    monkeypatch.setattr(peers, "sum_of_all", lambda sums: sums + next(rest))
    result = embed_tracklets(_embed, BATCHES[1:], 3, together=True)
    np.testing.assert_array_equal(result, [[2, -2], [5, -5], [15, -15]])


def test_missing_and_bad_embeddings():
    with pytest.raises(ValueError, match=r"1 of 4 tracklets have no clip.*number 3"):
        embed_tracklets(_embed, BATCHES, 4)
    with pytest.raises(ValueError, match=r"1 tracklets are not finite.*number 1"):
        embed_tracklets(lambda c: np.where(c == 5, np.nan, c)[:, None], BATCHES, 3)


def _side(num, seed):
    rng = np.random.default_rng(seed)
    names = np.array([f"t{i}" for i in range(num)])
    pids, camids = rng.integers(0, 3, num), rng.integers(0, 2, num)
    return Embedded(rng.normal(size=(num, 4)).astype("f"), pids, camids, names)


def test_the_next_batch_is_made_while_the_device_computes_the_last():
    events = []

    class Dispatched:
        """An array that a device returns at once; reading it waits."""

        def __init__(self, number, rows):
            self.number, self.rows = number, rows

        def __array__(self, dtype=None, copy=None):
            events.append(f"read {self.number}")
            return np.ones((self.rows, 1), dtype)

    def batches():
        for number in range(3):
            events.append(f"make {number}")
            yield {"clips": number, "tracklet": np.array([number])}

    embed_tracklets(lambda clips: Dispatched(clips, 1), batches(), 3)
    assert events == ["make 0", "make 1", "read 0", "make 2", "read 1", "read 2"]


def test_a_file_of_embeddings_comes_back(tmp_path):
    methods = {
        "trained": {"query": _side(3, 0), "gallery": _side(5, 1), "train": _side(4, 2)},
        "color_histogram": {"query": _side(3, 0), "gallery": _side(5, 1)},
    }
    path = tmp_path / "eval" / "embeddings.npz"
    embeddings.save(path, "some weights", methods)
    assert embeddings.load(path, "other weights") == {}
    read = embeddings.load(path, "some weights")
    assert list(read) == list(methods)
    for method, splits in methods.items():
        assert list(read[method]) == list(splits)
        for name, one in splits.items():
            other = read[method][name]
            for field in ("embeddings", "pids", "camids", "tracklets"):
                np.testing.assert_array_equal(
                    getattr(one, field), getattr(other, field)
                )
    assert [file.name for file in path.parent.iterdir()] == ["embeddings.npz"]
