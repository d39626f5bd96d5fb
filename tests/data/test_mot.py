"""Tracks cut out of a video that the test encodes itself, without loss."""

import sys

import numpy as np
import pytest

from data.videos import mot
from tests import source_layouts

NUM_FRAMES, HEIGHT, WIDTH = 6, 48, 64


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """Frames of which every pixel tells where and when it is."""
    t, y, x = np.mgrid[:NUM_FRAMES, :HEIGHT, :WIDTH]
    return np.stack([x * 3, y * 5, t * 40], axis=-1).astype(np.uint8)


@pytest.fixture(scope="module")
def video(images, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "street.mkv"
    source_layouts.write_video(path, images)
    return path


def _tracks(tmp_path, text: str) -> dict[int, mot.Track]:
    path = tmp_path / "tracks.txt"
    path.write_text(text)
    return mot.read_tracks(path)


def test_reads_tracks_in_order_of_ids_and_frames(tmp_path):
    tracks = _tracks(
        tmp_path,
        "3,7,10.5,20,5,8,-1,-1,-1,-1\n\n1,7,9,20,5,8.25\n1.0, 2, -3, 4, 5, 6, 1\n",
    )
    assert list(tracks) == [2, 7]
    assert tracks[7].frames.tolist() == [1, 3]
    assert tracks[7].boxes.tolist() == [[9, 20, 5, 8.25], [10.5, 20, 5, 8]]
    assert tracks[2].boxes.tolist() == [[-3, 4, 5, 6]]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("1,2,3,4,5", "5 numbers"),
        ("1 2 3 4 5 6", "1 numbers"),
        ("frame,id,left,top,width,height", "not a number"),
        ("1,2,nan,4,5,6", "not a finite number"),
        ("0,2,3,4,5,6", "frames are 1, 2, …"),
        ("1.5,2,3,4,5,6", "frames are 1, 2, …"),
        ("1,-1,3,4,5,6", "ids are 0, 1, …"),
        ("1,1e300,3,4,5,6", "ids are 0, 1, …"),
        ("1e300,1,3,4,5,6", "frames are 1, 2, …"),
        ("1,2,3,4,0,6", "empty box"),
        ("4,1,3,4,5,6", "id 1 is in frame 4 already"),
    ],
)
def test_bad_line_is_named(tmp_path, line, expected):
    with pytest.raises(ValueError, match="has 1 bad line:") as caught:
        _tracks(tmp_path, f"4,1,0,0,9,9\n{line}\n")
    assert f"line 2: {expected}: {line!r}" in str(caught.value)


def test_twelve_bad_lines_list_ten(tmp_path):
    with pytest.raises(ValueError, match="has 12 bad lines; the first 10:") as caught:
        _tracks(tmp_path, "1,1,0,0,9,9\n" + "wrong\n" * 12)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(":")[0] for line in lines] == [
        f"  line {number}" for number in range(2, 12)
    ]


def test_empty_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no tracks in it"):
        _tracks(tmp_path, "\n")


def test_crops_are_exact_in_place_and_time(tmp_path, video, images):
    tracks = _tracks(
        tmp_path,
        "2,5,10,20,8,16\n4,5,11.4,20.5,8,16\n6,5,60,40,8,16\n"  # the last sticks out
        "1,9,-5,-6,12,10\n",
    )
    five, nine = mot.cut_tracks(video, tracks)
    assert (five.track_id, nine.track_id) == (5, 9)
    assert five.frames.tolist() == [2, 4, 6]
    np.testing.assert_array_equal(five.crops[0], images[1, 20:36, 10:18])
    np.testing.assert_array_equal(five.crops[1], images[3, 21:37, 11:19])
    np.testing.assert_array_equal(five.crops[2], images[5, 40:, 60:])
    np.testing.assert_array_equal(nine.crops[0], images[0, :4, :7])
    assert five.crops[0].dtype == np.uint8
    assert five.crops[0].base is None
    assert five.num_outside == nine.num_outside == 0


def test_boxes_outside_are_dropped_and_counted(tmp_path, video):
    tracks = _tracks(
        tmp_path,
        "1,1,0,0,9,9\n2,1,-9,0,9,9\n3,1,64,0,9,9\n4,1,0,48,9,9\n5,1,1,1,0.4,9\n"
        "1,2,-50,-50,9,9\n",
    )
    (one,) = mot.cut_tracks(video, tracks)
    assert (one.track_id, len(one.crops), one.num_outside) == (1, 1, 4)
    assert one.frames.tolist() == [1]
    everything = mot.cut_tracks(video, tracks, min_frames=0)
    assert [(row.track_id, row.num_outside) for row in everything] == [(1, 4), (2, 1)]
    assert not mot.cut_tracks(video, tracks, min_frames=2)


def test_tracks_beyond_the_end_are_of_another_video(tmp_path, video):
    tracks = _tracks(tmp_path, "9,1,0,0,9,9\n")
    with pytest.raises(ValueError, match="has 6 frames, but the tracks go on to fra"):
        mot.cut_tracks(video, tracks)


def test_file_that_is_no_video(tmp_path):
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n")
    with pytest.raises(ValueError, match=r"tracks\.txt cannot be read after frame 0"):
        mot.cut_tracks(tmp_path / "tracks.txt", tracks)
    with pytest.raises(FileNotFoundError):
        mot.cut_tracks(tmp_path / "nowhere.avi", tracks)


def test_without_pyav_one_line_says_how_to_install_it(tmp_path, video, monkeypatch):
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        mot.cut_tracks(video, tracks)
