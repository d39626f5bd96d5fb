"""i-LIDS-VID and PRID 2011: copies in their layouts, sound and damaged."""

import json
import shutil

import numpy as np
import pytest
import scipy.io

import tests
from data import prepare
from data.ilids_vid import index as ilids_vid
from data.prid2011 import index as prid2011
from data.sources import checks
from data.sources.halves import seeded_halves
from tests import source_layouts

GOLDEN = tests.GOLDEN / "prid2011"
NUMBERS = (1, 2, 4, 5, 9, 10)
"""With gaps, as i-LIDS-VID's: positions in the sorted folders are not numbers."""

SEQUENCES = "i-LIDS-VID/sequences"
CAMERAS = "prid_2011/multi_shot"


@pytest.fixture
def ls_set() -> np.ndarray:
    rows = [[3, 5, 6, 1, 2, 4], *([1, 2, 3, 4, 5, 6] for _ in range(9))]
    return np.array(rows)


@pytest.fixture
def ilids(tmp_path, ls_set):
    source_layouts.write_ilids_vid_layout(tmp_path / "ilids", ls_set, NUMBERS)
    return tmp_path / "ilids"


@pytest.fixture(scope="module")
def whole_prid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prid")
    source_layouts.write_prid2011_layout(folder)
    shutil.copy(GOLDEN / "splits_prid2011.json", folder)
    return folder


@pytest.fixture
def prid(whole_prid, tmp_path):
    """One of which the split file may be changed and the cameras be replaced."""
    folder = tmp_path / "prid"
    (folder / CAMERAS).mkdir(parents=True)
    shutil.copy(whole_prid / "splits_prid2011.json", folder)
    for camera in ("cam_a", "cam_b"):
        (folder / CAMERAS / camera).symlink_to(whole_prid / CAMERAS / camera)
    return folder


def _problems(read_splits, *arguments) -> tuple[str, ...]:
    with pytest.raises(checks.SourceError) as caught:
        read_splits(*arguments)
    return caught.value.problems


def test_ilids_first_half_of_a_row_is_for_testing(ilids):
    splits = ilids_vid.read_splits(ilids, 0)
    found = {
        split: [(row.name, row.pid, row.camid) for row in rows]
        for split, rows in splits.items()
    }
    assert found["query"] == [
        ("cam1/person004", 4, 0),
        ("cam1/person009", 9, 0),
        ("cam1/person010", 10, 0),
    ]
    assert found["gallery"] == [
        ("cam2/person004", 4, 1),
        ("cam2/person009", 9, 1),
        ("cam2/person010", 10, 1),
    ]
    assert {(pid, camid) for _, pid, camid in found["train"]} == {
        (pid, camid) for pid in (1, 2, 5) for camid in (0, 1)
    }
    assert [row.pid for row in ilids_vid.read_splits(ilids, 9)["query"]] == [1, 2, 4]


def test_ilids_builds_with_frames_in_order(ilids, tmp_path):
    builder = prepare.find_builder("ilids_vid/split0", tmp_path / "datasets")
    prepare.build(builder, ilids)
    (four, *_) = sorted(builder.as_data_source("query"), key=lambda row: row["pid"])
    assert four["tracklet"] == b"cam1/person004"
    images = [source_layouts.tiny_png(40 + t) for t in range(3)]
    assert list(four["frames"]) == images


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"ls": np.ones((10, 6))}, "no variable 'ls_set', only: ls"),
        ({"ls_set": np.ones((10, 4))}, "shape (10, 4), expected 10 splits of the 6"),
        ({"ls_set": np.ones((10, 6)) / 2}, "not a matrix of whole numbers"),
        ({"ls_set": np.ones((10, 6))}, "row 1 of 'ls_set' does not name each person"),
        (None, "not a readable MATLAB 5 file"),
    ],
)
def test_ilids_split_file_that_cannot_be_used(ilids, content, expected):
    path = ilids / "train-test people splits" / "train_test_splits_ilidsvid.mat"
    if content is None:
        path.write_bytes(path.read_bytes()[:150])
    else:
        scipy.io.savemat(path, content)
    problems = _problems(ilids_vid.read_splits, ilids, 0)
    assert problems[0].startswith("train-test people splits/train_test_splits_ilidsvid")
    assert expected in problems[0]


def test_ilids_reports_everything_at_once(ilids):
    sequences = ilids / SEQUENCES
    (ilids / "train-test people splits" / "train_test_splits_ilidsvid.mat").unlink()
    shutil.rmtree(sequences / "cam2" / "person004")
    shutil.rmtree(sequences / "cam1" / "person009")
    (sequences / "cam1" / "person009").mkdir()
    (sequences / "cam1" / "someone").mkdir()
    image = sequences / "cam1" / "person001" / "cam1_person001_00099.png"
    image.write_bytes(image.read_bytes()[:-9])
    assert set(_problems(ilids_vid.read_splits, ilids, 3)) == {
        "train-test people splits/train_test_splits_ilidsvid.mat: missing",
        f"{SEQUENCES}/cam2/person004: missing folder",
        f"{SEQUENCES}/cam1/person009: no PNG in it",
        f"{SEQUENCES}/cam1/someone: not a name like person001",
        f"{SEQUENCES}/cam1/person001/cam1_person001_00099.png: truncated",
    }


def test_missing_camera_is_one_problem(ilids, prid):
    shutil.rmtree(ilids / SEQUENCES / "cam2")
    assert _problems(ilids_vid.read_splits, ilids, 0) == (
        f"{SEQUENCES}/cam2: missing folder",
    )
    (prid / CAMERAS / "cam_a").unlink()
    assert _problems(prid2011.read_splits, prid, "all0") == (
        f"{CAMERAS}/cam_a: missing folder",
    )


def test_folders_that_are_no_person_or_one_twice(ilids):
    camera = ilids / SEQUENCES / "cam1"
    for name in ("person0", "person99999999999", "person_1", "stranger"):
        (camera / name).mkdir()
    problems = _problems(ilids_vid.read_splits, ilids, 0)
    assert problems[:4] == (
        f"{SEQUENCES}/cam1/person0: not a name like person001",
        f"{SEQUENCES}/cam1/person99999999999: not a name like person001",
        f"{SEQUENCES}/cam1/person_1: the person of person001 already",
        f"{SEQUENCES}/cam1/stranger: not a name like person001",
    )


def test_gaps_and_other_files_are_warned_about(ilids, capsys):
    person = ilids / SEQUENCES / "cam1" / "person001"
    for number in (101, 105, 106):
        image = person / f"cam1_person001_00{number}.png"
        image.write_bytes(source_layouts.tiny_png(number))
    (person / "Thumbs.db").touch()
    (person / "._cam1_person001_00101.png").touch()  # macOS
    ilids_vid.read_splits(ilids, 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"i-LIDS-VID in {ilids} has 2 warnings:"
    assert lines[1].endswith(
        "cam1/person001: 2 files that are hidden or no PNGs are not used"
    )
    assert "frame 101 is followed by 105 (" in lines[2]


def test_prid_published_splits_give_the_expected_numbers(whole_prid):
    expected = json.loads((GOLDEN / "prid_expected.json").read_text())
    published = json.loads((GOLDEN / "splits_prid2011.json").read_text())
    assert len(prid2011.LONG_ENOUGH) == expected["persons"] == 178
    assert prid2011.LONG_ENOUGH[0] == expected["first_person"]
    assert prid2011.LONG_ENOUGH[-1] == expected["last_person"]
    for k, row in enumerate(published):
        splits = prid2011.read_splits(whole_prid, f"split{k}")
        sizes = {split: len(rows) for split, rows in splits.items()}
        assert sizes == expected["tracklets_per_split"]
        assert sorted(row["train"] + row["test"]) == list(prid2011.LONG_ENOUGH)
        train, query, gallery = (
            {(tracklet.pid, tracklet.camid) for tracklet in splits[split]}
            for split in ("train", "query", "gallery")
        )
        pids = {half: {int(name[-4:]) for name in row[half]} for half in row}
        assert train == {(pid, camid) for pid in pids["train"] for camid in (0, 1)}
        assert query == {(pid, 0) for pid in pids["test"]}
        assert gallery == {(pid, 1) for pid in pids["test"]}
    assert splits["query"][0].name == "cam_a/person_0001"


@pytest.mark.parametrize(("kind", "num_persons"), [("seeded", 178), ("all", 200)])
def test_prid_seeded_halves(whole_prid, kind, num_persons):
    tests = []
    for k in range(10):
        splits = prid2011.read_splits(whole_prid, f"{kind}{k}")
        train, test = (
            {tracklet.pid for tracklet in splits[split]} for split in ("train", "query")
        )
        assert len(train) == len(test) == num_persons // 2
        assert len(train | test) == num_persons
        assert max(train | test) <= 200
        tests.append(frozenset(test))
    assert len(set(tests)) == 10


def test_seeded_halves_never_change():
    assert seeded_halves("abcdefg", 0) == (["b", "e", "g"], ["a", "c", "d", "f"])
    assert seeded_halves(range(4), 3) == ([0, 1], [2, 3])
    assert seeded_halves([], 0) == ([], [])


def test_prid_seeded_needs_no_split_file(prid, tmp_path):
    (prid / "splits_prid2011.json").unlink()
    builder = prepare.find_builder("prid2011/seeded3", tmp_path / "datasets")
    prepare.build(builder, prid)
    rows = builder.as_data_source("train")
    assert len(rows) == 178
    for row in rows:
        pid = int(row["pid"])
        images = [source_layouts.tiny_png(pid + t) for t in (1, 2)]
        assert list(row["frames"]) == images
    assert _problems(prid2011.read_splits, prid, "split0") == (
        "splits_prid2011.json: missing (seeded0 to seeded9 do without)",
    )


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda splits: splits.pop(), "not a list of 10 splits"),
        (lambda splits: splits[7].pop("test"), "split 7 has no lists 'train' and"),
        (lambda splits: splits[0].update(train="all"), "split 0 has no lists"),
        (
            lambda splits: splits[1]["train"].append("person_0201"),
            "split 1 names 'person_0201', not person_0001 to person_0200",
        ),
        (lambda splits: splits[1]["train"].append(7), "split 1 names '7', not person_"),
        (
            lambda splits: splits[1]["train"].append(splits[1]["test"][0]),
            "split 1 names a person twice",
        ),
        (
            lambda splits: splits[2]["train"].pop(),
            "split 2 has 88 and 89 persons, not 89 and 89",
        ),
    ],
)
def test_prid_split_file_that_cannot_be_used(prid, edit, expected):
    path = prid / "splits_prid2011.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    (problem,) = _problems(prid2011.read_splits, prid, "split0")
    assert problem.startswith(f"splits_prid2011.json: {expected}")


def test_prid_split_file_that_is_no_json(prid):
    (prid / "splits_prid2011.json").write_text("<html>")
    (problem,) = _problems(prid2011.read_splits, prid, "split0")
    assert problem.startswith("splits_prid2011.json: not JSON (")


def test_prid_person_under_one_camera(prid):
    cam_b = prid / CAMERAS / "cam_b"
    persons = list(cam_b.resolve().iterdir())
    cam_b.unlink()
    cam_b.mkdir()
    for person in persons:
        if person.name != "person_0200":
            (cam_b / person.name).symlink_to(person)
    assert prid2011.read_splits(prid, "split0")  # which leave that person out
    assert _problems(prid2011.read_splits, prid, "all0") == (
        f"{CAMERAS}/cam_b/person_0200: missing folder",
    )
