"""P-DESTRE: a copy in its layout, sound and with what published boxes may have."""

import io
import pathlib

import numpy as np
import PIL.Image
import pytest

from data import prepare
from data.p_destre import annotations, index
from data.sources import checks
from tests import source_layouts

FIRST = "08-11-2019-1-1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("p_destre")
    source_layouts.write_p_destre_layout(folder)
    return folder


@pytest.fixture
def source(tmp_path):
    source_layouts.write_p_destre_layout(tmp_path / "p_destre")
    return tmp_path / "p_destre"


def _problems(source: pathlib.Path, config: str, tmp_path) -> set[str]:
    with pytest.raises(checks.SourceError) as caught:
        index.cut_splits(source, config, tmp_path / "crops")
    return set(caught.value.problems)


def _append(source: pathlib.Path, *lines: str) -> None:
    with open(source / "annotation" / f"{FIRST}.txt", "a") as file:
        file.writelines(f"{line}\n" for line in lines)


def test_seeded_halves_of_persons(whole, tmp_path, capsys):
    splits = index.cut_splits(whole, "seeded0", tmp_path / "crops")
    train, query, gallery = (
        {(row.name, row.pid, row.camid) for row in splits[split]}
        for split in ("train", "query", "gallery")
    )
    cameras = {name: camid for camid, name in enumerate(source_layouts.APPEARANCES)}
    assert {row[:2] for row in train | query | gallery} == {
        (f"{name}/{pid}", pid)
        for name, tracks in source_layouts.APPEARANCES.items()
        for pid in tracks
    }
    assert all(camid == cameras[name[:-2]] for name, _, camid in train | gallery)
    pids = {pid for _, pid, _ in train}
    assert len(pids) == 3
    assert not pids & {pid for _, pid, _ in query | gallery}
    for pid in {1, 2, 3, 5} - pids:  # those in several videos
        videos = [
            n for n, tracks in source_layouts.APPEARANCES.items() if pid in tracks
        ]
        assert [row for row in query if row[1] == pid] == [
            (f"{videos[0]}/{pid}", pid, cameras[videos[0]])
        ]
        assert sum(row[1] == pid for row in gallery) == len(videos) - 1
    warnings = capsys.readouterr().err.splitlines()
    assert warnings[1] == "  8 boxes of persons without identity left out"
    assert sum(line.endswith(" only: no query") for line in warnings) == len(
        {4, 6} - pids
    )
    assert sum("goes on with frame 5 after 2" in line for line in warnings) == 1


@pytest.mark.parametrize("width_first", [True, False])
def test_builds_with_published_splits(tmp_path, width_first):
    source = tmp_path / "source"
    source_layouts.write_p_destre_layout(source, width_first=width_first)
    builder = prepare.find_builder("p_destre/split4", tmp_path / "datasets")
    prepare.build(builder, source)
    rows = {
        split: {row["tracklet"].decode(): row for row in builder.as_data_source(split)}
        for split in ("train", "query", "gallery")
    }
    # (session, id) in order: 08-11-2019-1 has 1 to 4, 13-11-2019-2 has 1, 5 and 6.
    assert {name: int(row["pid"]) for name, row in rows["train"].items()} == {
        "13-11-2019-2-1/1": 5,
        "13-11-2019-2-1/5": 6,
        "13-11-2019-2-2/1": 5,
        "13-11-2019-2-2/5": 6,
        "13-11-2019-2-2/6": 7,
    }
    assert {name: int(row["camid"]) for name, row in rows["query"].items()} == {
        f"{FIRST}/{pid}": 0 for pid in (1, 2, 3)
    }
    assert {int(row["pid"]) for row in rows["gallery"].values()} == {1, 2, 3, 4}
    for split in rows.values():
        for name, row in split.items():
            video, track_id = name.split("/")
            frames = source_layouts.APPEARANCES[video][int(track_id)]
            assert len(row["frames"]) == len(frames)
            for frame in row["frames"]:
                image = np.asarray(PIL.Image.open(io.BytesIO(frame)))
                assert image.shape == (12, 6, 3)
                assert np.abs(image.astype(int) - 30 * int(track_id) - 10).max() <= 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["datasets", "source"]


def test_most_boxes_say_which_number_is_the_width(whole):
    videos, _ = annotations.read_videos(whole)
    for video in videos.values():
        for track in video.tracks.values():
            assert np.unique(track.boxes[:, 2:], axis=0).tolist() == [[6, 12]]
    assert annotations.width_first([])


def test_lines_that_are_left_out_are_listed(source, tmp_path, capsys):
    lines = (source / "annotation" / f"{FIRST}.txt").read_text().count("\n")
    _append(
        source,
        "1,1,10,8,6,12,1",  # a second time
        "5,3,10,8,0,12,1",
        "5,3,10,8",
        "5,3,200,8,6,12,1",  # outside
        "9,3,10,8,6,12,1",  # after the end
    )
    index.cut_splits(source, "split0", tmp_path / "crops")
    warnings = capsys.readouterr().err.splitlines()
    place = f"  annotation/{FIRST}.txt: 1 box left out"
    for number, (reason, example) in enumerate(
        (
            ("the id is in that frame already", ""),
            ("empty box", ", the first is '5,3,10,8,0,12,1'"),
            ("fewer than six numbers", ", the first is '5,3,10,8'"),
            ("outside the picture", ""),
            ("the video has no such frame, it ends with frame 6", ""),
        ),
        start=1,
    ):
        assert f"{place} ({reason}): line {lines + number}{example}" in warnings


def test_annotations_that_count_from_0_do_so_in_all_files(source):
    counted = annotations.read_videos(source)[0]
    for path in (source / "annotation").glob("[0-9]*.txt"):
        rows = [line.split(",", 1) for line in path.read_text().splitlines()]
        path.write_text("".join(f"{int(n) - 1},{rest}\n" for n, rest in rows))
    for name, video in annotations.read_videos(source)[0].items():
        for track_id, track in video.tracks.items():
            expected = counted[name].tracks[track_id].frames
            assert track.frames.tolist() == expected.tolist()


def test_everything_wrong_with_the_folder_at_once(source, tmp_path):
    (source / "videos" / f"{FIRST}.MP4").unlink()
    (source / "annotation" / "13-11-2019-2-1.txt").write_text("nothing\n")
    assert _problems(source, "seeded0", tmp_path) == {
        f"annotation/{FIRST}.txt: there is no videos/{FIRST}.MP4",
        "annotation/13-11-2019-2-1.txt (frame,id,left,top,width,height): 1 of 1 lines "
        "cannot be used:\n  1 box left out (fewer than six numbers): line 1, the first "
        "is 'nothing'.",
    }
    twice = source / "annotation" / f"{FIRST}.TXT"
    twice.touch()
    problem = f"annotation/{FIRST}.txt: {FIRST}.TXT has that name already"
    assert problem in _problems(source, "seeded0", tmp_path)
    twice.unlink()
    large = "1,2147483648,0,0,9,9,-1\n"
    (source / "annotation" / "13-11-2019-2-1.txt").write_text(large)
    problem = "annotation/13-11-2019-2-1.txt: id 2147483648 is above 2147483647"
    assert problem in _problems(source, "seeded0", tmp_path)
    (source / "annotation").rename(source / "elsewhere")
    assert _problems(source, "seeded0", tmp_path) == {"annotation: missing folder"}
    (source / "annotation").mkdir()
    assert _problems(source, "seeded0", tmp_path) == {"annotation: no .txt in it"}


def test_wrong_split_files(source, tmp_path):
    splits = source / "Splits"
    (splits / "Train_0.txt").unlink()
    (splits / "Query_0.txt").write_text(f"{FIRST}.txt\n\n{FIRST}\n08-11-2019-9-9\n")
    (splits / "Gallery_0.txt").write_text("\n")
    assert _problems(source, "split0", tmp_path) == {
        "Splits/Train_0.txt: missing (seeded0 to seeded9 do without)",
        f"Splits/Query_0.txt line 3: '{FIRST}' is there twice",
        "Splits/Query_0.txt line 4: '08-11-2019-9-9' has no video",
        "Splits/Gallery_0.txt: no person in its videos",
    }
    (splits / "Gallery_0.txt").write_bytes(b"\xff\xfe\n")  # not UTF-8
    assert "Splits/Gallery_0.txt line 1: '\ufffd\ufffd' has no video" in _problems(
        source, "split0", tmp_path
    )


def test_persons_on_both_sides_and_queries_without_a_match_are_counted(
    source, tmp_path, capsys
):
    (source / "Splits" / "Train_0.txt").write_text("08-11-2019-1-2\n")
    (source / "Splits" / "Query_0.txt").write_text(f"{FIRST}\n13-11-2019-2-1\n")
    index.cut_splits(source, "split0", tmp_path / "crops")
    warnings = capsys.readouterr().err.splitlines()
    assert "  4 persons are in training and in testing: 1, 2, 3, 4" in warnings
    single = "  2 queries have no match under another camera: persons 5, 6"
    assert single in warnings


def test_unreadable_videos_are_all_listed(source, tmp_path, capsys):
    (source / "videos" / f"{FIRST}.MP4").write_bytes(b"")
    (source / "videos" / "13-11-2019-2-2.MP4").write_bytes(b"no video")
    flags = (f"--source={source}", f"--data_dir={tmp_path / 'datasets'}")
    with pytest.raises(SystemExit, match="1"):
        prepare.main(["p_destre/seeded1", *flags])
    *_, count, first, second = capsys.readouterr().err.splitlines()
    assert count.endswith("has 2 problems:")
    assert f"{FIRST}.MP4 cannot be read after frame 0" in first
    assert "13-11-2019-2-2.MP4 cannot be read after frame 0" in second
    assert not (tmp_path / "datasets").exists()


def test_video_without_annotations_is_said(source, tmp_path, capsys):
    (source / "annotation" / "13-11-2019-2-2.txt").unlink()
    index.cut_splits(source, "seeded0", tmp_path / "crops")
    expected = "videos/13-11-2019-2-2.MP4: not used, there is no annotation/13-11-2019-"
    assert expected in capsys.readouterr().err
