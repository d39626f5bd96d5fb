"""reid_jax/footage/cameras.py: the list of cameras."""

import datetime

import pytest

from reid_jax.errors import UserError
from reid_jax.footage import cameras


@pytest.fixture
def folder(tmp_path):
    for name in ("hall.mp4", "hall.txt", "gate.mp4", "gate.txt"):
        (tmp_path / name).touch()
    (tmp_path / "img1").mkdir()
    return tmp_path


def _read(folder, text, encoding="utf-8"):
    path = folder / "station.csv"
    path.write_text(text, encoding=encoding)
    return cameras.read(path)


def test_all_columns_in_any_order(folder):
    one, other = _read(
        folder,
        "camera,start, tracks,video,classes,first_frame,fps\r\n"
        "hall,2026-11-29 08:30:00,hall.txt,hall.mp4,,,\r\n"
        "gate,2026-11-29T08:00,gate.txt,img1,1 7,0,12.5\r\n",
        encoding="utf-8-sig",
    )
    assert one.video == folder / "hall.mp4" and one.tracks == folder / "hall.txt"
    assert (one.first_frame, one.classes, one.fps) == (1, None, None)
    assert (other.first_frame, other.classes, other.fps) == (0, {1, 7}, 12.5)
    assert one.start == datetime.datetime(2026, 11, 29, 8, 30)
    assert other.time(61.5) == "2026-11-29 08:01:01"


def test_semicolons_capitals_notes_and_empty_lines(folder):
    (one,) = _read(
        folder,
        "Camera;Video;Tracks;Note\n;;;\nhall;hall.mp4;hall.txt;by the door, left\n",
    )
    assert one.camera == one.name == "hall"


def test_videos_of_one_camera_have_names_of_their_own(folder):
    lines = "camera,video,tracks\nhall,hall.mp4,hall.txt\nhall,gate.mp4,gate.txt\n"
    assert [each.name for each in _read(folder, lines)] == ["hall_1", "hall_2"]
    with pytest.raises(UserError, match="hall_1 would be the name of 2 videos"):
        _read(folder, f"{lines}hall_1,img1,gate.txt\n")


def test_times_without_a_clock(folder):
    (one,) = cameras.single(folder / "hall.mp4", folder / "hall.txt")
    assert one.camera == "hall"
    assert (one.time(125.9), one.time(float("nan"))) == ("2:05", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "header has to name camera,video,tracks"),
        ("camera,video\nhall,hall.mp4\n", "header has to name camera,video,tracks"),
        ("camera,video,tracks,colour\n", "unknown columns colour; known: camera,"),
        ("camera,video,tracks\n", "no camera in it"),
        ("camera,video,tracks\nhall,hall.mp4\n", "line 2: not 3 fields"),
        ("camera,video,tracks\n,hall.mp4,hall.txt\n", "line 2: no camera"),
        (
            "camera,video,tracks\na/b,hall.mp4,hall.txt\n",
            "camera 'a/b': a name without",
        ),
        (
            "camera,video,tracks\na,no.mp4,hall.txt\n",
            "line 2: video .*no.mp4 is not the",
        ),
        (
            "camera,video,tracks\na,hall.mp4,no.txt\n",
            "line 2: tracks .*no.txt is not th",
        ),
        (
            "camera,video,tracks\na,hall.mp4,hall.txt\na,./hall.mp4,gate.txt\n",
            "camera a has .*hall.mp4 2 times",
        ),
        (
            "camera,video,tracks,start\na,hall.mp4,hall.txt,8 o'clock\n",
            'start "8 o\'clock" is no date and time',
        ),
        (
            "camera,video,tracks,start\na,hall.mp4,hall.txt,9999-12-31\n",
            "start '9999-12-31' is no date",
        ),
        (
            "camera,video,tracks,start\na,hall.mp4,hall.txt,2026-01-01\n"
            "b,gate.mp4,gate.txt,\n",
            "start: give it in every line",
        ),
        (
            "camera,video,tracks,start\na,hall.mp4,hall.txt,2026-01-01\n"
            "b,gate.mp4,gate.txt,2026-01-01T00:00:00+01:00\n",
            "a time zone in every line",
        ),
        (
            "camera,video,tracks,first_frame\na,hall.mp4,hall.txt,-1\n",
            "first_frame '-1' is not a number 0 or more",
        ),
        (
            "camera,video,tracks,fps\na,hall.mp4,hall.txt,0\n",
            "fps '0' is not a number above",
        ),
        (
            "camera,video,tracks,classes\na,hall.mp4,hall.txt,x\n",
            "classes 'x' is not a",
        ),
        ('camera,video,tracks\n"a,hall.mp4,hall.txt\n', "line 1: unexpected end"),
    ],
)
def test_lines_that_cannot_be_used(folder, text, message):
    with pytest.raises(UserError, match=message):
        _read(folder, text)


def test_numbers_of_one_video_are_checked_too(folder):
    files = folder / "hall.mp4", folder / "hall.txt"
    with pytest.raises(UserError, match="first_frame '-3' is not"):
        cameras.single(*files, first_frame=-3)
    with pytest.raises(UserError, match="fps 'nan' is not"):
        cameras.single(*files, fps=float("nan"))


def test_one_video_that_is_not_there(folder):
    with pytest.raises(UserError, match=r"tracks .*no\.txt is not there"):
        cameras.single(folder / "hall.mp4", folder / "no.txt")
