"""A video and its tracks as a tracklet folder; what goes wrong leaves nothing."""

import io
import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from data import cut_video
from data.tracklet_folder import index
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
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_cuts_frames_and_writes_the_manifest(run, tmp_path):
    status, out, err = run()
    assert (status, err) == (0, "")
    assert out == f"street: 3 tracks, 16 frames in {tmp_path / 'out'}\n"
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
        assert out.endswith("; 1 without a pid left out\n")
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
    assert run()[1].endswith(", in place of 3 tracks\n")
    after = _files(out)
    lines = [files.pop("tracklets.csv").decode().split() for files in (before, after)]
    assert before == after
    assert sorted(lines[0]) == sorted(lines[1])

    tracks.write_text("1,9,0,0,9,9\n")
    _, done, _ = run("--min_frames=0")
    assert done.startswith("street: 1 tracks, 1 frames in ")
    assert {name for name in _files(out) if name.startswith("street")} == {
        "street/9/000001.jpg"
    }
    assert (out / "tracklets.csv").read_text().count("street/9/*.jpg,9,0,gal") == 1
    assert (out / "tracklets.csv").read_text().count("\n") == 1 + 3 + 1


def test_short_tracks_boxes_outside_and_gaps_are_counted(run, tracks):
    tracks.write_text(
        TRACKS + "7,2,-50,0,9,9\n4,6,64,0,9,9\n11,5,0,0,9,9\n12,5,0,0,9,9"
    )
    status, out, err = run("--min_frames=3")
    assert status == 0
    assert out.endswith("; 1 with fewer than 3 frames left out\n")
    lines = err.splitlines()
    assert lines[0].endswith("street.mkv has 5 warnings:")
    assert lines[1:] == [
        "  tracks.txt line 17: the box of track 2 in frame 7 is outside "
        "the picture, left out",
        "  tracks.txt line 17: track 2 goes on with frame 7 after 5",
        "  tracks.txt line 19: track 5 goes on with frame 11 after 7",
        "  tracks.txt line 18: the box of track 6 in frame 4 is outside "
        "the picture, left out",
        "  tracks.txt: nothing is left of track 6",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,1,0,0,0,9\n", "line 1: empty box"),
        ("1,1,0,0,9,9\n1,1,0,0,9,9\n", "line 2: id 1 is in frame 1 already"),
        ("13,1,0,0,9,9\n", "has 12 frames, but the tracks go on to frame 13"),
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

    def while_another_is_cut(*arguments):
        monkeypatch.setattr(crop_files, "write_crops", write_crops)
        statuses.append(run("--name=door")[0])
        return write_crops(*arguments)

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
