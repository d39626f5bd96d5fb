"""LS-VID: copies of its layout, whole and damaged, and MATLAB's HDF5."""

import pathlib

import h5py
import numpy as np
import pytest
import scipy.io

from configs import ls_vid as ls_vid_config
from data import prepare
from data.ls_vid import frame_lists, index
from data.sources import checks, matlab
from reid_jax import config_checks
from tests import source_layouts


@pytest.fixture
def ls_vid(tmp_path):
    folder = tmp_path / "LS-VID"
    source_layouts.write_ls_vid_layout(folder)
    return folder


def _problems(folder: pathlib.Path) -> tuple[str, ...]:
    with pytest.raises(checks.SourceError) as caught:
        index.read_splits(folder)
    return caught.value.problems


def test_splits_of_the_tiny_layout(ls_vid):
    splits = index.read_splits(ls_vid)
    found = {
        split: [(row.name.rpartition("/")[2], row.pid, row.camid) for row in rows]
        for split, rows in splits.items()
    }
    assert found == {
        "train": [
            *(("0001_1", 1, 2), ("0001_2", 1, 14)),
            *(("0004_1", 4, 2), ("0004_2", 4, 6), ("0004_3", 4, 6)),
        ],
        "query": [("0002_1", 2, 0), ("0003_1", 3, 1), ("0003_10", 3, 1)],
        "gallery": [("0002_2", 2, 11), ("0003_2", 3, 3), ("0005_1", 5, 5)],
    }
    # In order of time, and nothing of 0003_10.
    assert splits["query"][1].images == [
        f"tracklet_test/0003/0003_1_2_{t}.png" for t in (8, 9, 10)
    ]


def test_the_dataset_is_built_and_scored_by_both_protocols(ls_vid, tmp_path):
    builder = prepare.find_builder("ls_vid", tmp_path / "datasets")
    prepare.build(builder, ls_vid)
    assert builder.PROTOCOLS == ("torchreid", "official")
    examples = list(builder.as_data_source("gallery"))
    assert sorted(int(example["pid"]) for example in examples) == [2, 3, 5]
    assert {len(example["frames"]) for example in examples} == {3}
    config = ls_vid_config.get_config()
    config_checks.check_config(config)
    assert (config.data.name, config.eval.protocol) == ("ls_vid", "official")


def test_cameras_may_have_a_letter(ls_vid):
    for path in list(ls_vid.glob("tracklet_*/*/*.png")):
        one, number, camera, rest = path.name.split("_", 3)
        path.rename(path.with_name(f"{one}_{number}_c{camera}_{rest}"))
    assert [row.camid for row in index.read_splits(ls_vid)["query"]] == [0, 1, 1]


def test_all_that_is_wrong_is_in_one_error(ls_vid):
    frames = ls_vid / "tracklet_test" / "0002"
    (frames / "0002_1_1_8.png").rename(frames / "0002_1_16_8.png")
    (frames / "0002_2_12_8.png").rename(frames / "0002_2_11_8.png")
    damaged = frames / "0002_2_12_9.png"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    path = ls_vid / "list_sequence" / "list_seq_test.txt"
    with path.open("a") as file:
        file.write("\nno person\ntracklet_test/0005/0005_1 5\n../outside 5\nabsent 6\n")
    matrix = np.array([[1, 1, 99]], float)
    source_layouts.write_matlab_7_3(
        ls_vid / "test/data/info_test.mat", {"query": matrix}
    )
    test = "list_sequence/list_seq_test.txt line"
    query = "test/data/info_test.mat: row"
    assert _problems(ls_vid) == (
        f"{test} 8: 'no person' is not a path and a person",
        f"{test} 9: 'tracklet_test/0005/0005_1' is in {test} 6 already",
        f"{test} 10: '../outside' is not a path inside the folder",
        "tracklet_test/0002/0002_1_16_8.png: its third field is no camera from 1 to 15",
        f"{test} 2: its frames are of several cameras: 11, 12",
        f"{test} 11: no frame begins with 'absent'",
        f"{query} 1 of list_seq_test.txt is listed 2 times",
        f"{query} 99 of list_seq_test.txt does not exist: it has 1 to 7",
        "tracklet_test/0002/0002_2_12_9.png: truncated",
    )


def test_files_that_are_missing(ls_vid):
    for path in ls_vid.glob("list_sequence/*"):
        path.unlink()
    (ls_vid / "test/data/info_test.mat").unlink()
    assert _problems(ls_vid) == (
        "list_sequence/list_seq_train.txt: missing",
        "list_sequence/list_seq_test.txt: missing",
        "data/info_test.mat: missing",
    )


def test_beginnings_may_be_folders(tmp_path):
    for name in ("a/1_1/2.png", "a/1_1/10.png", "a/1_1/.DS_Store", "a/1_1_3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = frame_lists.find_frames(tmp_path, ["a/1_1", "a/1", "b/1"])
    assert found == {
        "a/1_1": ["a/1_1/2.png", "a/1_1/10.png"],
        "a/1": ["a/1_1_3.jpg"],
        "b/1": [],
    }


def test_matrices_of_both_versions_are_the_same(tmp_path):
    matrix = np.arange(6, dtype=float).reshape(2, 3)
    scipy.io.savemat(tmp_path / "5.mat", {"table": matrix})
    source_layouts.write_matlab_7_3(tmp_path / "7.mat", {"table": matrix})
    for name in ("5.mat", "7.mat"):
        problems = []
        read = matlab.read_matrix(tmp_path / name, "table", problems)
        assert problems == []
        np.testing.assert_array_equal(read, matrix)


def _hdf5(path: pathlib.Path, **content) -> None:
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": np.ones(3)}, "no variable 'query', only: other"),
        ({"query": np.array([1.5])}, "'query' is not a matrix of whole numbers"),
        ({"query": np.array([b"text"])}, "'query' is not a matrix of whole numbers"),
        ({"query": h5py.ExternalLink("x.mat", "y")}, "'query' is not a matrix of wh"),
        ({"query": h5py.SoftLink("/y"), "y": [1]}, "'query' is not a matrix of whole"),
        ({"query": np.ones(11)}, "'query' has 11 entries: no index"),
    ],
)
def test_hdf5_that_is_no_index(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(matlab, "MAX_ENTRIES", 10)
    path = tmp_path / "index.mat"
    _hdf5(path, **content)
    problems = []
    assert matlab.read_matrix(path, "query", problems) is None
    assert problems[0].startswith(f"{tmp_path.name}/index.mat: {message}")


def test_hdf5_of_other_files_and_damaged_ones(tmp_path):
    path = tmp_path / "index.mat"
    (tmp_path / "secret").write_bytes(bytes(range(80)))
    with h5py.File(path, "w") as file:
        external = [(tmp_path / "secret", 0, 80)]
        file.create_dataset("query", (10,), "i8", external=external)
        file["text"] = np.array([1, 2], np.uint16)
        file["text"].attrs["MATLAB_class"] = np.bytes_("char")
        file["empty"] = np.array([0, 0], np.uint64)
        file["empty"].attrs["MATLAB_empty"] = 1
    for key in ("query", "text"):
        problems = []
        assert matlab.read_matrix(path, key, problems) is None
        assert "is not a matrix of whole numbers" in problems[0]
    assert matlab.read_matrix(path, "empty", []).size == 0
    path.write_bytes(path.read_bytes()[:600])
    problems = []
    assert matlab.read_matrix(path, "query", problems) is None
    assert "not a readable MATLAB 7.3 file" in problems[0]
