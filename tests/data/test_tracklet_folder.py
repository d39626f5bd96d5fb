"""Tracklets of one's own: manifests, sound and with everything that can be wrong."""

import json
import os
import pathlib

import pytest

from data import prepare
from data.sources import checks
from data.tracklet_folder import index
from tests import source_layouts
from tests.source_layouts import tiny_png


@pytest.fixture
def folder(tmp_path):
    source_layouts.write_tracklet_folder(tmp_path / "station")
    return tmp_path / "station"


def _edit(folder: pathlib.Path, old: str, new: str) -> None:
    path = folder / "tracklets.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _append(folder: pathlib.Path, *lines: str) -> None:
    with open(folder / "tracklets.csv", "a") as file:
        file.writelines(f"{line}\n" for line in lines)


def _problems(folder: pathlib.Path) -> list[str]:
    with pytest.raises(checks.SourceError) as caught:
        index.read_splits(folder)
    return list(caught.value.problems)


def _as_json(folder: pathlib.Path, frames=lambda frames: f"{frames}/*.png") -> None:
    (folder / "tracklets.csv").unlink()
    rows = [
        {"frames": frames(path), "pid": pid, "camid": camid, "split": split}
        for path, pid, camid, split in source_layouts.MANIFEST.values()
    ]
    text = "\n\n".join(json.dumps(row) for row in rows)
    (folder / "tracklets.jsonl").write_text(text)


def test_builds_in_natural_order_beside_others(folder, tmp_path, capsys):
    arguments = [f"--source={folder}", f"--data_dir={tmp_path / 'datasets'}"]
    for name in ("tracklet_folder/station", "tracklet_folder"):
        prepare.main([name, *arguments])
    builder = prepare.find_builder("tracklet_folder/station", tmp_path / "datasets")
    assert builder.is_prepared()
    rows = {
        row["tracklet"].decode(): row
        for split in ("train", "query", "gallery")
        for row in builder.as_data_source(split)
    }
    assert list(rows) and set(rows) == set(source_layouts.MANIFEST)
    for number, (name, tracklet) in enumerate(source_layouts.MANIFEST.items()):
        row = rows[name]
        assert (row["pid"], row["camid"]) == tracklet[1:3]
        images = [tiny_png(20 * number + t) for t in range(1, 12)]
        assert list(row["frames"]) == images
    out = capsys.readouterr().out.splitlines()
    assert out[2].split() == ["train", "2", "1", "2", "22", "11", "11", "11"]
    assert out[4].split()[:3] == ["gallery", "2", "1"]


@pytest.mark.parametrize("name", ["../up", "a/b", "1.0.0", ""])
def test_config_names(name, tmp_path):
    if not name:
        assert prepare.find_builder("tracklet_folder/", tmp_path)
        return
    with pytest.raises(
        prepare.DatasetError, match="is not a name: what follows trackl"
    ):
        prepare.find_builder(f"tracklet_folder/{name}", tmp_path)


@pytest.mark.parametrize(
    "frames",
    [
        lambda path: f"{path}/*.png",
        lambda path: [f"{path}/{t}.png" for t in (3, 10, *range(4, 10), 2, 1, 11)],
        lambda path: [f"{path}/1*.png", f"{path}/[2-9].png"],
    ],
)
def test_json_and_lists_say_the_same(folder, frames):
    expected = index.read_splits(folder)
    _as_json(folder, frames)
    found = index.read_splits(folder)
    for split, rows in expected.items():
        assert [row.images for row in found[split]] == [row.images for row in rows]
    assert [row.name for row in found["train"]] == ["line 1", "line 3"]


def test_csv_variants(folder):
    expected = index.read_splits(folder)
    _edit(folder, "cam0/anna/*.png", "cam0/anna/1*.png ; cam0/anna/[2-9].png;")
    _edit(folder, "cam1/dog/*.png,0", ' "cam1/dog/*.png", 0')
    _edit(folder, ' "cam1/dog', '"cam1/dog')
    path = folder / "tracklets.csv"
    text = path.read_text().replace("\n", "\r\n\r\n")
    path.write_text("\ufeff" + text, encoding="utf-8", newline="")
    assert index.read_splits(folder) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pid,camid", "pid,camera", "line 1: unknown column 'camera'"),
        ("tracklet\n", "traklet\n", "'traklet' (did you mean 'tracklet'?)"),
        ("pid,camid", "pid,Camid", "'Camid' (did you mean 'camid'?)"),
        (",camid,split,", ",camid,pid,", "line 1: column 'pid' is there 2 times"),
        (",2,0,query", ",2,0,querry", "line 4: split 'querry' (did you mean 'query'?)"),
        (",2,0,query", ",two,0,query", "line 4: pid 'two': not a whole number from -1"),
        (",2,0,query", ",-2,0,query", "line 4: pid -2: not a whole number from -1 to"),
        (
            ",2,0,query",
            ",,0,query",
            "line 4: pid '': not a whole number from -1 to 2147",
        ),
        (
            ",2,0,query",
            ",99999999999,0,query",
            "line 4: pid 99999999999: not a whole n",
        ),
        (",2,0,query", ",0,0,query", "line 4: pid 0: 0 (distractor) and -1 (junk) are"),
        (",1,0,train", ",-1,0,train", "line 2: pid -1: 0 (distractor) and -1 (junk)"),
        (",2,0,query", ",2,-1,query", "line 4: camid -1: not a whole number from 0 to"),
        (",2,0,query", ",2,0.5,query", "line 4: camid '0.5': not a whole number from"),
        ("cam0/bert/*", "cam0/brt/*", "line 4: frames 'cam0/brt/*.png': no file match"),
        ("cam0/bert/*", "cam0/bert/99", "line 4: frames 'cam0/bert/99.png': missing"),
        ("cam0/bert/*.png", "cam0/bert", "'cam0/bert': a folder (write cam0/bert/*.j"),
        ("cam0/bert/*.png", "", "line 4: frames: empty"),
        ("cam0/bert", "../station/cam0/bert", ": not a path inside the folder"),
        ("cam0/bert", "/cam0/bert", "'/cam0/bert/*.png': not a path inside the folder"),
        (
            "cam0/bert/*.png",
            "cam0/bert/*.png;cam0/bert/1.png",
            "line 4: frames: 1 are named more than once",
        ),
        (",2,0,query", ",2,0,query,", "line 4: 6 fields, but the header has 5"),
        (",bert_0", "", "line 4: 4 fields, but the header has 5 (quote those with com"),
        (",bert_0", ",anna_1", "line 4: tracklet 'anna_1' is the name of line 3 alr"),
        (
            "cam0/bert",
            "cam0/anna",
            "line 4: 11 of its frames are in line 2 already, th",
        ),
        (
            ",2,1,gallery",
            ",1,1,gallery",
            "line 5: person 1 is in gallery, but in train",
        ),
    ],
)
def test_every_problem_has_its_line(folder, old, new, expected):
    _edit(folder, old, new)
    problems = _problems(folder)
    assert sum(expected in problem for problem in problems) == 1
    assert all(problem.startswith("tracklets.csv") for problem in problems)
    for problem in problems:  # what else there is follows from that line
        follows = "no column" in problem or "has the split 'query'" in problem
        assert expected in problem or follows


@pytest.mark.parametrize("pattern", ["./cam0/anna/*.png", "cam0//anna/1.png", "link"])
def test_frames_of_two_tracklets_by_another_spelling(folder, pattern):
    if pattern == "link":
        (folder / "again").symlink_to(folder / "cam0" / "anna")
        pattern = "again/*.png"
    _append(folder, f"{pattern},3,0,gallery,leak")
    (problem,) = _problems(folder)
    assert "of its frames are in line 2 already, the first is " in problem


def test_what_is_no_file_is_named(folder):
    (folder / "cam0" / "anna" / "99.png").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "cam0" / "anna" / "98.png")
    row = "tracklets.csv line 2: frames 'cam0/anna/*.png'"
    assert sorted(_problems(folder)) == [
        f"{row}: 'cam0/anna/{n}.png' is no file" for n in (98, 99)
    ]


def test_an_open_quote_names_its_lines(folder):
    _edit(folder, "cam0/anna/*.png", '"cam0/anna/*.png')
    problems = _problems(folder)
    assert problems[0].startswith("tracklets.csv lines 2 to ")


def test_everything_at_once(folder, capsys):
    _append(
        folder,
        "cam0/bert/*.png,2,0,query,bert_0",
        "cam0/none/*.png,2,0,gallery,",
        "cam0/anna/1.png;cam0/anna/2.png,7,0,gallery,",
    )
    _edit(folder, "cam1/dog/*.png,0,1,gallery", "cam1/dog/*.png,dog,1,galery")
    (folder / "cam1/anna/7.png").write_bytes(b"")
    (folder / "cam0/bert/2.png").write_bytes(tiny_png(2)[:-4])
    (folder / "cam0/bert/notes.png").write_text("not an image")
    assert _problems(folder) == [
        "tracklets.csv line 6: split 'galery' (did you mean 'gallery'?), not one of "
        "train, query, gallery",
        "tracklets.csv line 6: pid 'dog': not a whole number from -1 to 2147483647",
        "tracklets.csv line 8: frames 'cam0/none/*.png': no file matches",
        "tracklets.csv line 7: the same as line 4",
        "tracklets.csv line 9: 2 of its frames are in line 2 already, the first is "
        "cam0/anna/1.png",
        "cam1/anna/7.png: empty",
        "cam0/bert/2.png: truncated",
        "cam0/bert/notes.png: neither JPEG nor PNG",
    ]
    assert not capsys.readouterr().err


def test_damage_stops_the_build_and_leaves_nothing(folder, tmp_path):
    (folder / "cam1/anna/7.png").write_bytes(b"")
    (folder / "cam1/dog/1.png").write_bytes(b"GIF")
    builder = prepare.find_builder("tracklet_folder/a", tmp_path / "datasets")
    with pytest.raises(checks.SourceError) as caught:
        prepare.build(builder, folder)
    assert caught.value.problems == (
        "cam1/anna/7.png: empty",
        "cam1/dog/1.png: neither JPEG nor PNG",
    )
    assert not (tmp_path / "datasets").exists()


def test_queries_without_a_match_and_gaps_are_warned_about(folder, capsys):
    _append(
        folder, "cam2/carl/*.png,3,0,query,carl", "cam2/dora/*.png,3,0,gallery,dora"
    )
    source_layouts.write_shuffled(
        folder / "cam2/carl", {f"c_{t}.png": tiny_png(t) for t in (8, 9, 10, 14, 15)}
    )
    source_layouts.write_shuffled(
        folder / "cam2/dora", {f"d_{t}.png": tiny_png(t) for t in (0, 5, 10, 15)}
    )
    assert len(index.read_splits(folder)["query"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        f"tracklet_folder in {folder} has 2 warnings:",
        "  tracklets.csv line 7: person 3 is in the gallery under no camera other than "
        "0, so that this query does not count",
        "  tracklets.csv line 7: frame 10 is followed by 14 (cam2/carl/c_10.png)",
    ]


def test_no_manifest_two_manifests_and_empty_ones(folder):
    manifest = folder / "tracklets.csv"
    (folder / "tracklets.jsonl").touch()
    (problem,) = _problems(folder)
    assert problem.startswith("tracklets.csv and tracklets.jsonl: only one of them")
    manifest.unlink()
    assert _problems(folder)[0] == "tracklets.jsonl: no tracklets in it"
    (folder / "tracklets.jsonl").unlink()
    assert _problems(folder) == ["tracklets.csv: missing (tracklets.jsonl as well)"]
    manifest.touch()
    assert _problems(folder)[0].startswith("tracklets.csv line 1: no column 'frames', ")
    manifest.write_text("frames,pid,camid,split\n")
    assert _problems(folder)[0] == "tracklets.csv: no tracklets in it"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "line 10: not JSON ("),
        ('{"frames": "\\ud800"}', "line 10: half of a character, "),
        ("[1, 2]", "line 10: not an object like {'frames': …, 'pid': …}"),
        ('{"frames": "a"}', "line 10: no column 'pid', 'camid', 'split'"),
        (
            '{"frames": [1], "pid": 3, "camid": 0, "split": "query"}',
            "line 10: frames [1]: not a path or a list of paths",
        ),
        (
            '{"frames": [], "pid": 3, "camid": 0, "split": "query"}',
            "line 10: frames: empty",
        ),
        (
            '{"frames": "cam2/*", "pid": 3.5, "camid": 0, "split": "query"}',
            "line 10: pid 3.5: not a whole number",
        ),
        (
            '{"frames": "cam2/*", "pid": 3, "camid": true, "split": "query"}',
            "line 10: camid True: not a whole number",
        ),
        (
            '{"frames": "cam2/*", "pid": 3, "camid": 0, "split": ["query"]}',
            "line 10: split \"['query']\"",
        ),
    ],
)
def test_bad_json_has_its_line(folder, line, expected):
    _as_json(folder)
    (folder / "cam2").mkdir()
    (folder / "cam2/1.png").write_bytes(tiny_png(1))
    with open(folder / "tracklets.jsonl", "a") as file:
        file.write(f"\n{line}\n")
    problems = _problems(folder)
    assert len(problems) == 1
    assert problems[0].startswith(f"tracklets.jsonl {expected}")


def test_bytes_that_are_not_utf8_have_their_line(folder):
    with open(folder / "tracklets.csv", "ab") as file:
        file.write(b"caf\xe9/*.png,1,0,train,\n")
    (problem,) = _problems(folder)
    assert problem.endswith("not UTF-8")


def test_persons_learnt_from_one_camera_are_counted(folder, capsys):
    (folder / "only").mkdir()
    (folder / "only/1.png").write_bytes(tiny_png(200))
    _append(folder, "only/*.png,77,0,train,")
    index.read_splits(folder)
    assert "1 of 2 persons of train are under one camera only: 77" in (
        capsys.readouterr().err
    )
