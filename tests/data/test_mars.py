"""MARS: its real index, and damaged copies of its layout."""

import json
import pathlib

import numpy as np
import pytest
import scipy.io

import tests
from data.mars import index, index_checks
from data.sources import checks, image_files
from tests import mars_layout

GOLDEN = tests.GOLDEN / "mars_index"


@pytest.fixture(scope="module")
def published():
    tables = index.read_tables(GOLDEN)
    return tables, json.loads((GOLDEN / "mars_expected.json").read_text())


def _numbers(table: np.ndarray) -> dict:
    """Counts of a set of tracklets, as in `mars_expected.json`."""
    lengths = table[:, 1] - table[:, 0] + 1
    pids = table[:, 2]
    return {
        "tracklets": len(table),
        "ids": len(np.unique(pids)),
        "ids_without_distractor_and_junk": len(np.unique(pids[pids > 0])),
        "distractor_tracklets_pid0": int(np.sum(pids == 0)),
        "frames": {
            "total": int(lengths.sum()),
            "min": int(lengths.min()),
            "max": int(lengths.max()),
            "mean": pytest.approx(lengths.mean()),
            "shorter_than_4": int(np.sum(lengths < 4)),
        },
        "per_camera_1_to_6": {
            str(camera): int(np.sum(table[:, 3] == camera)) for camera in range(1, 7)
        },
        "first_rows": table[:3].tolist(),
        "last_row": table[-1].tolist(),
    }


def test_real_index_gives_the_published_numbers(published):
    tables, expected = published
    rows = index.split_rows(tables)
    query, gallery = tables.test[rows["query"]], tables.test[rows["gallery"]]
    assert expected["train"] == _numbers(tables.train[rows["train"]])
    assert expected["query"] == _numbers(query)
    assert expected["gallery_without_queries"] == _numbers(gallery)
    both = tables.test[np.sort(np.concatenate([rows["query"], rows["gallery"]]))]
    assert expected["gallery_with_queries"] == _numbers(both)
    assert len(tables.test) == expected["test_rows"] == 12180
    assert len(tables.test) - len(both) == expected["junk_rows_pid_minus1"] == 870
    assert (len(query), len(gallery)) == (1980, 9330)
    assert not set(tables.train[:, 2]) & set(both[:, 2])
    assert tables.train[-1, 1] == expected["frames_listed"]["train"]
    assert tables.test[-1, 1] == expected["frames_listed"]["test"]


def test_real_queries_without_a_match_in_another_camera(published):
    tables, expected = published
    rows = index.split_rows(tables)
    gallery = {tuple(row) for row in tables.test[rows["gallery"], 2:].tolist()}
    without = [
        position
        for position, (pid, camera) in enumerate(tables.test[rows["query"], 2:])
        if not any((pid, other) in gallery for other in range(1, 7) if other != camera)
    ]
    name = "queries_without_cross_camera_match"
    assert len(without) == expected[name]["gallery_without_queries"] == 140
    assert (
        without[:10]
        == (
            expected["query_positions_without_match_in_gallery_without_queries_first10"]
        )
    )


def test_real_tables_agree_with_names_made_from_them(published):
    tables, _ = published
    assert not list(index_checks.query_problems(tables.query, tables.test))
    for part in ("train", "test"):
        table = getattr(tables, part)
        lengths = table[:, 1] - table[:, 0] + 1
        pids, cameras = (np.repeat(table[:, column], lengths) for column in (2, 3))
        assert not list(index_checks.table_problems(part, table, pids, cameras))


def test_names_are_unique_even_where_rows_share_a_prefix():
    names = ["0001C1T0001F001.jpg", "0001C1T0001F002.jpg", "0001C1T0002F001.jpg"]
    table = np.array([[1, 1, 1, 1], [2, 2, 1, 1], [3, 3, 1, 1]])
    assert index.tracklet_names(table, names) == [
        "0001C1T0001-row1",
        "0001C1T0001-row2",
        "0001C1T0002",
    ]


@pytest.fixture
def mars(tmp_path):
    folder = tmp_path / "MARS"
    mars_layout.write_mars_layout(folder, mars_layout.tiny_tracklets())
    return folder


def _problems(folder: pathlib.Path) -> tuple[str, ...]:
    with pytest.raises(checks.SourceError) as caught:
        index.read_splits(folder)
    return caught.value.problems


def test_splits_of_the_tiny_layout(mars):
    splits = index.read_splits(mars)
    image_files.check_images("MARS", mars, splits)
    found = {
        split: [(row.name, row.pid, row.camid) for row in rows]
        for split, rows in splits.items()
    }
    assert found["train"][:3] == [
        ("0001C1T0001", 1, 0),
        ("0001C2T0001", 1, 1),
        ("0003C1T0001", 3, 0),
    ]
    assert found["query"] == [("0002C1T0001", 2, 0), ("0004C1T0001", 4, 0)]
    assert found["gallery"] == [
        ("0000C4T0001", 0, 3),
        ("0000C4T0002", 0, 3),
        ("0002C1T0002", 2, 0),
        ("0002C6T0001", 2, 5),
        ("0004C1T0002", 4, 0),
        ("0004C6T0001", 4, 5),
    ]
    assert splits["query"][1].images == [
        f"bbox_test/0004/0004C1T0001F00{frame}.jpg" for frame in (1, 2, 3)
    ]


def test_builder_keeps_the_published_bytes(mars, tmp_path):
    from data import prepare

    builder = prepare.find_builder("mars", tmp_path / "datasets")
    prepare.build(builder, mars)
    splits = index.read_splits(mars)
    assert builder.info.file_format.value == "array_record"
    for split, rows in splits.items():
        examples = {row["tracklet"]: row for row in builder.as_data_source(split)}
        assert len(examples) == len(rows)
        for row in rows:
            example = examples[row.name.encode()]
            frames = [(mars / image).read_bytes() for image in row.images]
            assert list(example["frames"]) == frames
            assert (example["pid"], example["camid"]) == (row.pid, row.camid)


def test_cleaned_labels_are_built_with_the_dataset(mars, tmp_path):
    from data import prepare
    from reid_jax.input import datasets

    data_dir = tmp_path / "datasets"
    prepare.build(prepare.find_builder("mars", data_dir), mars)
    dataset = datasets.load_dataset("mars", str(data_dir))
    assert dataset.clean_labels is None
    assert dataset.more_protocols == ("no_distractor",)
    assert index.read_clean_labels(mars) is None
    # Rows 4 to 6 are the first query, and its two tracklets in the gallery.
    mars_layout.write_clean_labels(mars, {5: (2, 4), 6: (0, 0)})
    prepare.main(
        ["mars", f"--source={mars}", f"--data_dir={data_dir}", "--rebuild"],
    )
    dataset = datasets.load_dataset("mars", str(data_dir))
    assert dataset.more_protocols == ("no_distractor", "clean")
    assert dataset.clean_labels["0002C1T0001"] == [2, 2]
    assert dataset.clean_labels["0002C1T0002"] == [2, 4]
    assert dataset.clean_labels["0002C6T0001"] == [0, 0]
    for split in (dataset.query, dataset.gallery):
        assert {str(name) for name in split.names} <= dataset.clean_labels.keys()


def test_cleaned_labels_that_cannot_be_used(mars):
    path = mars / "info" / "clean_tracks_test_info.mat"
    mars_layout.write_clean_labels(mars, {2: (-3, 0)})
    table = scipy.io.loadmat(path)["track_test_info"]
    table[4, 1] += 1
    scipy.io.savemat(path, {"track_test_info": table})
    assert _problems(mars) == (
        f"info/{path.name}: 1 rows are of other tracklets than those of "
        "tracks_test_info.mat, the first ones: 5",
        f"info/{path.name}: cleaned pid -3 is below -1",
    )
    scipy.io.savemat(path, {"track_test_info": table[:, :4]})
    assert f"shape ({len(table)}, 4), expected" in _problems(mars)[0]
    scipy.io.savemat(path, {"clean": table})
    assert "no variable 'track_test_info', only: clean" in _problems(mars)[0]


def test_twelve_missing_images_list_ten(mars):
    images = sorted(mars.glob("bbox_*/*/*F002.jpg"))[:12]
    for image in images:
        image.unlink()
    with pytest.raises(checks.SourceError) as caught:
        index.read_splits(mars)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"MARS in {mars} has 12 problems; the first 10:"
    assert len(lines) == 11
    assert len(caught.value.problems) == 12
    assert sorted(caught.value.problems) == sorted(
        f"{image.relative_to(mars)}: missing" for image in images
    )


def _damage(images: list[pathlib.Path]) -> list[str]:
    """Damages three kinds in turn; returns the problems expected."""
    whole = images[0].read_bytes()
    kinds = [
        (b"", "empty"),
        (whole[:-20], "truncated"),
        (whole[: len(whole) // 2] + bytes(len(whole) // 2), "truncated"),
        (b"<html>not here</html>", "neither JPEG nor PNG"),
    ]
    expected = []
    for number, image in enumerate(images):
        content, problem = kinds[number % len(kinds)]
        image.write_bytes(content)
        expected.append(f"{image.parent.parent.name}/{image.parent.name}/")
        expected[-1] += f"{image.name}: {problem}"
    return expected


def test_damaged_images_stop_the_build_and_leave_nothing(mars, tmp_path):
    from data import prepare

    images = [
        path for path in mars.glob("bbox_*/*/*F003.jpg") if "00-1" not in path.parts
    ]
    expected = _damage(sorted(images)[:12])
    data_dir = tmp_path / "datasets"
    with pytest.raises(checks.SourceError) as caught:
        prepare.build(prepare.find_builder("mars", data_dir), mars)
    assert sorted(caught.value.problems) == sorted(expected)
    assert "has 12 problems; the first 10:" in str(caught.value)
    assert not data_dir.exists()


def test_all_kinds_of_damage_are_in_one_error(mars):
    next(mars.glob("bbox_train/0001/*")).unlink()
    expected = _damage(sorted(mars.glob("bbox_train/0003/*"))[:2])
    problems = _problems(mars)
    assert len(problems) == 3
    assert set(expected) < set(problems)


def test_folder_of_a_part_missing_is_one_problem(mars):
    (mars / "bbox_test").rename(mars / "elsewhere")
    assert _problems(mars) == ("bbox_test: missing folder",)


def test_info_missing_is_five_problems(mars):
    (mars / "info").rename(mars / "elsewhere")
    problems = _problems(mars)
    assert len(problems) == 5
    assert all(problem.endswith("missing") for problem in problems)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"tracks": np.ones((3, 4))}, "no variable 'query_IDX', only: tracks"),
        ({"query_IDX": np.array([{"a": 1}], object)}, "not a matrix of whole numbers"),
        ({"query_IDX": np.array([[1.5]])}, "not a matrix of whole numbers"),
        ({"query_IDX": "text"}, "not a matrix of whole numbers"),
        ({"query_IDX": np.zeros((1, 0))}, "empty"),
        ({"query_IDX": [[99]]}, "row 99 of the test table does not exist: it has"),
        ({"query_IDX": [[1]]}, "row 1 of the test table is no person: pid -1"),
        ({"query_IDX": [[4, 4]]}, "row 4 of the test table is listed 2 times"),
        (None, "not a readable MATLAB 5 file"),
    ],
)
def test_query_index_that_cannot_be_used(mars, content, expected):
    path = mars / "info" / "query_IDX.mat"
    if content is None:
        path.write_bytes(path.read_bytes()[:150])
    else:
        scipy.io.savemat(path, content)
    (problem,) = _problems(mars)
    assert problem.startswith("info/query_IDX.mat: ")
    assert expected in problem


def test_table_of_another_shape(mars):
    content = {"track_test_info": np.ones((3, 5))}
    scipy.io.savemat(mars / "info" / "tracks_test_info.mat", content)
    (problem,) = _problems(mars)
    assert "shape (3, 5), expected [tracklets, 4]" in problem


def _edit_table(folder: pathlib.Path, row: int, column: int, value: int) -> None:
    path = folder / "info" / "tracks_train_info.mat"
    table = scipy.io.loadmat(path)["track_train_info"]
    table[row, column] = value
    scipy.io.savemat(path, {"track_train_info": table})


@pytest.mark.parametrize(
    ("row", "column", "value", "expected"),
    [
        (5, 1, 19, "images 16 to 19 are not in 1 to 18, the lines of train_name.txt"),
        (0, 0, 0, "images 0 to 3 are not in 1 to 18"),
        (0, 0, 4, "images 4 to 3 are not in 1 to 18"),
        (0, 1, 4, "camera 1, but its images' names say 1, 2"),
        (1, 1, 7, "pid 1, but its images' names say 1, 3"),
        (0, 2, 7, "pid 7, but its images' names say 1"),
        (0, 3, 2, "camera 2, but its images' names say 1"),
    ],
)
def test_row_that_contradicts_the_names(mars, row, column, value, expected):
    _edit_table(mars, row, column, value)
    problems = _problems(mars)
    assert any(expected in problem for problem in problems)
    assert all(f"row {row + 1}:" in problem for problem in problems)


def test_names_that_do_not_parse(mars):
    path = mars / "info" / "train_name.txt"
    wrong = ["0001c1T0001F001.jpg", "0001C7T0001F001.jpg", "0001C1T0001F001.png", ""]
    names = path.read_text().splitlines()
    path.write_text("\r\n".join([*wrong, *names[4:]]))
    problems = _problems(mars)
    assert len(problems) == 4
    assert problems[1].startswith("info/train_name.txt line 2: '0001C7T0001F001.jpg'")


def test_lists_may_have_windows_line_ends_and_blank_last_lines(mars):
    expected = index.read_splits(mars)
    for path in mars.glob("info/*.txt"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert index.read_splits(mars) == expected
