"""A video and its tracks as a tracklet folder; what goes wrong leaves nothing."""

import io
import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from data import cut_video
from data.tracklet_folder import additions, index
from data.videos import crop_files
from tests.source_layouts import write_video

NUM_FRAMES, HEIGHT, WIDTH = 12, 48, 64
TRACKS = "".join(
    f"{frame},{track_id},{10 * track_id},4,8,16,-1\n"
    for track_id, frames in ((1, range(1, 13)), (2, (3, 4, 5)), (5, (7,)))
    for frame in frames
)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Frames whose brightness tells which they are."""
    path = tmp_path_factory.mktemp("video") / "street.mkv"
    shades = np.arange(1, NUM_FRAMES + 1, dtype=np.uint8)[:, None, None, None] * 20
    write_video(path, np.tile(shades, (1, HEIGHT, WIDTH, 3)))
    return path


@pytest.fixture
def tracks(tmp_path):
    path = tmp_path / "tracks.txt"
    path.write_text(TRACKS)
    return path


@pytest.fixture
def run(video, tracks, tmp_path, capsys):
    """Runs the program into `out`; gives its status, output and errors."""

    def run(*flags: str, source=video, split="gallery") -> tuple[int, str, str]:
        arguments = [str(source), str(tracks), str(tmp_path / "out"), *flags]
        if not any(flag.startswith("--camid") for flag in flags):
            arguments.append("--camid=0")
        status = 0
        try:
            cut_video.main([*arguments, f"--split={split}"])
        except SystemExit as end:
            status = end.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def _files(folder: pathlib.Path) -> dict[str, bytes]:
    """All files but the hidden record of what was cut."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != additions.RECORD
    }


def test_cuts_frames_and_writes_the_manifest(run, tmp_path):
    status, out, err = run()
    assert (status, err) == (0, "")
    done, _, _, command = out.splitlines()
    assert done == f"street: 3 tracks, 16 frames in {tmp_path / 'out'}"
    assert command.endswith(f"tracklet_folder/out --source={tmp_path / 'out'}")
    files = _files(tmp_path / "out")
    assert files.pop("tracklets.csv").decode() == (
        "frames,pid,camid,split,tracklet\n"
        "street/1/*.jpg,1,0,gallery,street/1\n"
        "street/2/*.jpg,2,0,gallery,street/2\n"
        "street/5/*.jpg,5,0,gallery,street/5\n"
    )
    assert sorted(files) == sorted(
        f"street/{line.split(',')[1]}/{int(line.split(',')[0]):06d}.jpg"
        for line in TRACKS.splitlines()
    )
    for name, content in files.items():
        image = np.asarray(PIL.Image.open(io.BytesIO(content)))
        assert image.shape == (16, 8, 3)
        assert np.abs(image.astype(int) - 20 * int(name[-6:-4])).max() <= 2  # JPEG


def test_result_is_a_tracklet_folder(run, tmp_path):
    assert run("--min_frames=3", split="train")[0] == 0
    pids = tmp_path / "pids.csv"
    pids.write_text("track_id,pid\n1,11\n2,12\n")
    for camid, split in ((0, "query"), (1, "gallery")):
        flags = (f"--camid={camid}", f"--name=a[{camid}], b", f"--pids={pids}")
        status, out, _ = run(*flags, split=split)
        assert status == 0
        assert "; 1 without a pid left out\n" in out
    splits = index.read_splits(tmp_path / "out")
    assert [(t.name, t.pid, t.camid) for t in splits["train"]] == [
        ("street/1", 1, 0),
        ("street/2", 2, 0),
    ]
    assert [(t.name, t.pid, t.camid, len(t.images)) for t in splits["gallery"]] == [
        ("a[1], b/1", 11, 1, 12),
        ("a[1], b/2", 12, 1, 3),
    ]


def test_cutting_again_replaces_the_rows_of_that_video_only(run, tracks, tmp_path):
    out = tmp_path / "out"
    assert run()[0] == run("--name=hall", "--camid=1")[0] == 0
    before = _files(out)
    assert ", in place of 3 tracks\n" in run()[1]
    after = _files(out)
    lines = [files.pop("tracklets.csv").decode().split() for files in (before, after)]
    assert before == after
    assert sorted(lines[0]) == sorted(lines[1])

    tracks.write_text("1,9,0,0,9,9\n12,9,0,0,9,9\n")
    _, done, _ = run("--min_frames=0")
    assert done.startswith("street: 1 tracks, 2 frames in ")
    assert {name for name in _files(out) if name.startswith("street")} == {
        "street/9/000001.jpg",
        "street/9/000012.jpg",
    }
    assert (out / "tracklets.csv").read_text().count("street/9/*.jpg,9,0,gal") == 1
    assert (out / "tracklets.csv").read_text().count("\n") == 1 + 3 + 1


def test_short_tracks_boxes_outside_and_gaps_are_counted(run, tracks):
    tracks.write_text(
        TRACKS + "7,2,-50,0,9,9\n4,6,64,0,9,9\n11,5,0,0,9,9\n12,5,0,0,9,9"
    )
    status, out, err = run("--min_frames=3")
    assert status == 0
    assert "; 1 with fewer than 3 frames left out\n" in out
    lines = err.splitlines()
    assert lines[0].endswith("street.mkv has 4 warnings:")
    assert lines[1:] == [
        "  2 boxes left out (outside the picture): lines 17, 18",
        "  line 17: track 2 goes on with frame 7 after 5",
        "  line 19: track 5 goes on with frame 11 after 7",
        "  nothing is left of track 6",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,1,0,0,0,9\n", "1 of 1 lines cannot be used:\n  1 box left out (empty box)"),
        ("0,1,0,0,9,9\n", "counts frames from 0, not from 1: say so with --first_fra"),
        ("13,1,0,0,9,9\n", "frames 1 to 12, but the tracks go on to frame 13"),
        ("1,1,90,0,9,9\n", "none of 1 tracks has 1 boxes in the picture"),
        ("1,0,0,0,9,9\n", "Track 0 cannot have pid 0, which is a distractor's"),
        ("1,3000000000,0,0,9,9\n", "track 3000000000: pid 3000000000, not a whole"),
        ("", "no tracks in it"),
    ],
)
def test_bad_tracks_leave_nothing(run, tracks, tmp_path, text, expected):
    tracks.write_text(text)
    status, _, err = run()
    assert status == 1
    assert expected in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [(b"", "cannot be read after frame 0"), (b"no video" * 99, "cannot be read after")],
)
def test_unreadable_videos_leave_nothing(run, tmp_path, content, expected):
    path = tmp_path / "bad.avi"
    path.write_bytes(content)
    status, _, err = run(source=path)
    assert status == 1
    assert expected in err
    assert not (tmp_path / "out").exists()
    assert run(source=tmp_path / "nowhere.avi")[0] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id,pid\n1,1\n", "line 1: the header has to be track_id,pid."),
        ("track_id,pid\n1,1\n9,1\n", "line 3: there is no track 9"),
        ("track_id,pid\n1,1\n1,2\n", "line 3: track 1 has a pid already"),
        ("track_id,pid\n1,one\n", "line 2: '1,one' is not track_id,pid"),
        ("track_id,pid\n1\n", "line 2: '1' is not track_id,pid"),
        ("track_id,pid\n", "no track has a pid"),
        ("track_id,pid\n1,-2\n", "track 1: pid -2, not a whole number from -1"),
    ],
)
def test_bad_pids(run, tmp_path, text, expected):
    (tmp_path / "pids.csv").write_text(text)
    status, _, err = run(f"--pids={tmp_path / 'pids.csv'}")
    assert status == 1
    assert expected in err
    assert not (tmp_path / "out").exists()


def test_distractors_and_junk_are_for_the_gallery(run, tmp_path):
    (tmp_path / "pids.csv").write_text("track_id,pid\n1,0\n2,-1\n")
    flag = f"--pids={tmp_path / 'pids.csv'}"
    status, _, err = run(flag, split="query")
    assert status == 1
    assert "The split query has 2 problems:\n  track 1: pid 0, not a wh" in err
    assert run(flag)[0] == 0


def test_what_is_there_already_is_not_touched(run, tmp_path):
    out = tmp_path / "out"
    (out / "street").mkdir(parents=True)
    (out / "street" / "mine.txt").write_text("mine")
    status, _, err = run()
    assert status == 1
    assert "street: there, but not in tracklets.csv; choose another --name" in err
    (out / "tracklets.csv").write_text("frames,person\n")
    (out / "tracklets.jsonl").touch()
    status, _, err = run("--name=hall")
    assert "has 3 problems:\n  tracklets.jsonl: rows are added to trackl" in err
    assert len(_files(out)) == 3


@pytest.mark.parametrize("camid", ["-1", "2147483648"])
def test_cameras_that_cannot_be(run, camid):
    status, _, err = run(f"--camid={camid}")
    assert status == 2
    assert f"--camid={camid} is not from 0 to 2147483647" in err


@pytest.mark.parametrize("name", [".hidden", "a/b", "a;b", " a", "tracklets.csv"])
def test_names_that_cannot_be(run, name):
    status, _, err = run(f"--name={name}")
    assert status == 1
    assert "choose another --name" in err


@pytest.mark.parametrize("place", ["crops", "manifest"])
def test_interrupted_leaves_what_was_there(run, tmp_path, monkeypatch, place):
    out = tmp_path / "out"
    assert run()[0] == 0
    before = _files(out)

    def stop(*_, **__):
        raise KeyboardInterrupt

    if place == "crops":
        monkeypatch.setattr(crop_files.Image.Image, "save", stop)
    else:
        monkeypatch.setattr(pathlib.Path, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert _files(out) == before
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []


def test_videos_that_are_cut_at_the_same_time_both_get_their_rows(
    run, tmp_path, monkeypatch
):
    write_crops, statuses = crop_files.write_crops, []

    def while_another_is_cut(*arguments, **settings):
        monkeypatch.setattr(crop_files, "write_crops", write_crops)
        statuses.append(run("--name=door")[0])
        return write_crops(*arguments, **settings)

    monkeypatch.setattr(crop_files, "write_crops", while_another_is_cut)
    assert run("--name=hall")[0] == 0 == statuses[0]
    rows = (tmp_path / "out" / "tracklets.csv").read_text()
    assert rows.count("door/") == rows.count("hall/") == 6  # three tracks, twice a row
    assert not [path for path in (tmp_path / "out").iterdir() if path.name[0] == "."]


@pytest.mark.parametrize(
    ("umask", "modes"), [(0o022, {0o755, 0o644}), (0o002, {0o775, 0o664})]
)
def test_colleagues_can_read_what_is_cut(run, tmp_path, umask, modes):
    before = os.umask(umask)
    try:
        assert run()[0] == 0
    finally:
        os.umask(before)
    out = tmp_path / "out"
    assert {path.stat().st_mode & 0o777 for path in (out, *out.rglob("*"))} == modes


def test_nothing_is_replaced_that_came_from_elsewhere(run, video, tracks, tmp_path):
    out = tmp_path / "out"
    other = tmp_path / "door" / "street.mkv"
    other.parent.mkdir()
    other.write_bytes(video.read_bytes())
    assert run()[0] == 0
    before = _files(out)
    for arguments in (
        {"source": other},
        {"split": "train"},
        {"source": video, "split": "query"},
    ):
        status, _, err = run(**arguments)
        assert status == 1
        assert f"street holds 3 tracks of {video.resolve()} (--camid=0 --sp" in err
        assert "Choose another --name, or replace them with --replace." in err
    assert run("--camid=1")[0] == 1
    assert _files(out) == before
    os.symlink(video, link := tmp_path / "street.mkv")
    assert ", in place of 3 tracks\n" in run(source=link)[1]
    done = run("--replace", source=other, split="train")[1]
    assert ", in place of 3 tracks\n" in done
    assert run(source=other, split="train")[0] == 0
    assert "street/1/*.jpg,1,0,train,street/1" in (out / "tracklets.csv").read_text()


@pytest.mark.parametrize("record", [None, "", "[]", '{"video": 1}'])
def test_folders_without_a_record_are_replaced_when_told(run, tmp_path, record):
    assert run()[0] == 0
    path = tmp_path / "out" / "street" / additions.RECORD
    path.unlink() if record is None else path.write_text(record)
    status, _, err = run()
    assert status == 1
    assert "holds 3 tracks of a video that was not noted down, not of " in err
    assert run("--replace")[0] == 0 == run()[0]


def test_bad_lines_are_counted_and_the_rest_is_cut(run, tracks, tmp_path):
    tracks.write_text(TRACKS + "5,-1,0,0,9,9\n9,3,nan,0,9,9\n13,1,0,0,9,9\nend\n")
    status, out, err = run()
    assert status == 0 and out.startswith("street: 3 tracks, 16 frames")
    assert err.splitlines()[1:] == [
        "  1 box left out (the id is not a whole number from 0; -1 is a detection "
        "without a track): line 17, the first is '5,-1,0,0,9,9'",
        "  1 box left out (not a finite number): line 18, the first is '9,3,nan,0,9,9'",
        "  1 box left out (fewer than six numbers): line 20, the first is 'end'",
        "  1 box left out (the video has no such frame, it ends with frame 12): line "
        "19",
    ]


def test_tracks_that_count_from_0(run, tracks, tmp_path):
    crops = tmp_path / "out" / "street" / "1"
    tracks.write_text("".join(f"{n},1,0,0,9,9\n" for n in range(3, 12)))
    status, _, err = run()
    assert status == 0
    assert "end with frame 11, one before the video's last: if the file counts" in err
    status, _, err = run("--first_frame=0")
    assert (status, err) == (0, "")
    assert sorted(os.listdir(crops))[0] == "000004.jpg"
    assert len(os.listdir(crops)) == 9
    tracks.write_text("".join(f"{n},1,0,0,9,9\n" for n in range(1, 13)))
    status, _, err = run("--first_frame=0")
    assert status == 0
    assert "one frame after the video, with frame 12: if the file counts from 1" in (
        err.replace("frames from 1", "from 1")
    )
    assert run("--first_frame=-1")[0] == 2


def test_classes_of_ground_truth_and_others(run, tracks, tmp_path):
    kinds = {1: "1,1,0.5", 2: "0,1,1", 3: "0,7,0.5", 4: "1,3,0"}
    tracks.write_text(
        "".join(
            f"{n},{k},0,0,9,9,{kind}\n"
            for n in range(1, 13)
            for k, kind in kinds.items()
        )
    )
    status, out, err = run()
    assert status == 0 and out.startswith("street: 1 tracks, 12 frames")
    for reason in (
        "flag 0 (not considered) in column 7",
        "class 7, not 1 (pedestrian), in column 8",
        "class 3, not 1 (pedestrian), in column 8",
    ):
        assert f"  12 boxes left out ({reason}): lines " in err
    assert run("--classes=1,7")[1].startswith("street: 3 tracks, 36 frames")
    status, _, err = run("--classes=9")
    assert status == 1 and "no tracks in it:\n  24 boxes left out (class 1 in c" in err
    status, _, err = run("--classes=person")
    assert status == 2 and "'person' is not a list of whole numbers such as 1,7" in err
    tracks.write_text(TRACKS)
    assert "has no classes in column 8: leave out --classes" in run("--classes=1")[2]


def test_pictures_take_the_name_of_their_sequence(run, tmp_path):
    for sequence in ("MOT17-02", "MOT17-04"):
        folder = tmp_path / sequence / "img1"
        folder.mkdir(parents=True)
        for n in range(1, 13):
            PIL.Image.new("RGB", (64, 48), (20 * n,) * 3).save(folder / f"{n:06d}.jpg")
        assert run(source=folder)[1].startswith(f"{sequence}: 3 tracks, 16 frames")
    done = run(source=folder / "%06d.jpg")[1]
    assert ", in place of 3 tracks\n" in done
    crop = np.asarray(PIL.Image.open(tmp_path / "out/MOT17-04/5/000007.jpg"))
    assert np.abs(crop.astype(int) - 140).max() <= 2
