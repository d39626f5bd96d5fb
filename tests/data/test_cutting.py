"""Boxes cut out of a video that the test encodes itself, without loss."""

import sys

import numpy as np
import pytest
from PIL import Image

from data.videos import cutting, mot
from reid_jax.errors import UserError
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
    return mot.read_tracks(path).by_id


def test_crops_are_exact_in_place_and_time(tmp_path, video, images):
    tracks = _tracks(
        tmp_path,
        "2,5,10,20,8,16\n4,5,11.4,20.5,8,16\n6,5,60,40,8,16\n"  # the last sticks out
        "1,9,-5,-6,12,10\n",
    )
    five, nine = cutting.cut_tracks(video, tracks)
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
    (one,) = cutting.cut_tracks(video, tracks)
    assert (one.track_id, len(one.crops), one.num_outside) == (1, 1, 4)
    assert one.frames.tolist() == [1]
    everything = cutting.cut_tracks(video, tracks, min_frames=0)
    assert [(row.track_id, row.num_outside) for row in everything] == [(1, 4), (2, 1)]
    assert not cutting.cut_tracks(video, tracks, min_frames=2)


def test_tracks_beyond_the_end_are_of_another_video(tmp_path, video):
    tracks = _tracks(tmp_path, "9,1,0,0,9,9\n6,1,0,0,9,9\n7,1,0,0,9,9\n")
    with pytest.raises(UserError, match=r"no frames for 2 of 3 boxes: it has frames 1"):
        cutting.cut_tracks(video, tracks)


def test_boxes_come_in_order_of_time_with_their_seconds(tmp_path, video, images):
    text = "3,2,0,0,9,9\n3,1,-9,0,9,9\n1,2,1,1,9,9\n"
    text += "7,2,0,0,9,9\n8,1,0,0,9,9\n2,2,0,0,9,9\n"
    warnings: list[str] = []
    boxes = list(cutting.cut_boxes(video, _tracks(tmp_path, text), warnings))
    assert [(box.track_id, box.frame) for box in boxes] == [
        *((2, 1), (2, 2), (1, 3), (2, 3))
    ]
    np.testing.assert_allclose([b.seconds for b in boxes], [0, 0.04, 0.08, 0.08])
    np.testing.assert_array_equal(boxes[0].crop, images[0, 1:10, 1:10])
    assert boxes[2].crop is None
    assert warnings == [
        "1 box left out (outside the picture): line 2",
        "2 boxes left out (the video has no such frame, it ends with frame 6): lines "
        "4, 5",
    ]


@pytest.mark.parametrize(
    ("frames", "first_frame", "expected"),
    [
        ((1, 5), 1, ["the tracks end with frame 5, one before the video's last: if"]),
        ((1, 5), None, []),
        ((1, 5), 0, []),
        ((1, 4), 1, []),
        ((1, 6), 1, []),
        ((1, 6), 0, []),
        ((1, 2, 7), 0, ["1 box left out", "the tracks end one frame after the vid"]),
        ((1, 2, 7), 1, ["1 box left out"]),
        ((1, 2, 8), 0, ["1 box left out"]),
    ],
)
def test_ends_that_tell_another_first_frame(
    tmp_path, video, frames, first_frame, expected
):
    tracks = _tracks(tmp_path, "".join(f"{frame},1,0,0,9,9\n" for frame in frames))
    warnings: list[str] = []
    list(cutting.cut_boxes(video, tracks, warnings, first_frame=first_frame))
    assert len(warnings) == len(expected)
    assert all(map(str.startswith, warnings, expected))


def test_damage_behind_the_tracks_does_no_harm(tmp_path, video):
    path = tmp_path / "cut_short.mkv"
    path.write_bytes(video.read_bytes())
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n2,1,0,0,9,9\n")
    path.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert len(cutting.cut_tracks(path, tracks)[0].crops) == 2


def test_pictures_with_other_numbers_than_the_tracks(tmp_path, images):
    for number in (301, 302):
        Image.fromarray(images[0]).save(tmp_path / f"{number}.png")
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n2,1,0,0,9,9\n")
    with pytest.raises(UserError, match=r"has frames from 301 on, but .* to frame 2"):
        cutting.cut_tracks(tmp_path, tracks)


def test_pictures_that_are_missing_are_counted(tmp_path, images):
    for number in (1, 2, 5, 6):
        Image.fromarray(images[number - 1]).save(tmp_path / f"{number}.png")
    tracks = _tracks(tmp_path, "".join(f"{n},1,0,0,9,9\n" for n in (1, 2, 3, 4, 5)))
    warnings: list[str] = []
    boxes = list(cutting.cut_boxes(tmp_path, tracks, warnings, first_frame=0, fps=10))
    assert [(box.frame, box.seconds) for box in boxes] == [(1, 0), (2, 0.1), (5, 0.4)]
    np.testing.assert_array_equal(boxes[2].crop, images[4, :9, :9])
    assert warnings == [
        "2 boxes left out (there is no picture of their frame): lines 3, 4"
    ]


def test_file_that_is_no_video(tmp_path):
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n")
    with pytest.raises(ValueError, match=r"tracks\.txt cannot be read after frame 0"):
        cutting.cut_tracks(tmp_path / "tracks.txt", tracks)
    with pytest.raises(FileNotFoundError):
        cutting.cut_tracks(tmp_path / "nowhere.avi", tracks)


def test_without_pyav_one_line_says_how_to_install_it(tmp_path, video, monkeypatch):
    tracks = _tracks(tmp_path, "1,1,0,0,9,9\n")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        cutting.cut_tracks(video, tracks)
