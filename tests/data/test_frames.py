"""Frames of videos and of pictures: upright, numbered, with their times."""

import fractions
import itertools

import av
import numpy as np
import pytest
from PIL import Image

from data.videos import frames, pictures
from reid_jax.errors import UserError
from tests import source_layouts

HEIGHT, WIDTH = 4, 6
SHOWN = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3) * 3


def _write(path, images, *, times=None, codec="png") -> None:
    """A QuickTime file without loss, a frame at each of `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "rgb24"
        if times:
            stream.codec_context.time_base = fractions.Fraction(1, 1000)
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times:
                frame.pts, frame.time_base = times[i], fractions.Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _set_matrix(path, a: int, b: int, c: int, d: int) -> None:
    """Writes the display matrix of the track's header, as a phone does."""
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 40
    for place, value in ((0, a), (1, b), (3, c), (4, d)):
        at = start + 4 * place
        content[at : at + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(content)


# Stored pixel (x, y) is shown at (a x + c y, b x + d y): how to store `SHOWN`.
STORED = {
    (1, 0, 0, 1): SHOWN,
    (0, 1, -1, 0): np.rot90(SHOWN),  # to be turned clockwise
    (-1, 0, 0, -1): np.rot90(SHOWN, 2),
    (0, -1, 1, 0): np.rot90(SHOWN, 3),
    (-1, 0, 0, 1): SHOWN[:, ::-1],
    (1, 0, 0, -1): SHOWN[::-1],
    (0, 1, 1, 0): SHOWN.swapaxes(0, 1),
    (0, -1, -1, 0): np.rot90(SHOWN, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", STORED)
def test_frames_are_turned_and_mirrored_as_players_do(tmp_path, matrix):
    path = tmp_path / "phone.mov"
    _write(path, [np.ascontiguousarray(STORED[matrix])] * 2)
    _set_matrix(path, *matrix)
    for frame in frames.read(path):
        np.testing.assert_array_equal(frame.image, SHOWN)


def test_the_matrix_means_what_pyav_reports(tmp_path):
    path = tmp_path / "phone.mov"
    _write(path, [SHOWN])
    _set_matrix(path, 0, 1, -1, 0)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).rotation == -90  # clockwise


def test_a_turn_by_another_angle_is_left_alone(tmp_path):
    path = tmp_path / "tilted.mov"
    _write(path, [SHOWN])
    _set_matrix(path, 1, 1, -1, 1)
    np.testing.assert_array_equal(next(frames.read(path)).image, SHOWN)


def test_numbers_and_times_of_a_video(tmp_path):
    _write(tmp_path / "a.mov", [SHOWN] * 4, times=[500, 540, 700, 1500])
    read = list(frames.read(str(tmp_path / "a.mov")))
    assert [frame.number for frame in read] == [1, 2, 3, 4]
    np.testing.assert_allclose([frame.seconds for frame in read], [0, 0.04, 0.2, 1])
    assert frames.num_frames(tmp_path / "a.mov") == 4
    source_layouts.write_video(tmp_path / "b.mkv", np.stack([SHOWN] * 5))
    assert frames.num_frames(tmp_path / "b.mkv") == 5


def _folder(folder, names, size=(WIDTH, HEIGHT)):
    folder.mkdir(parents=True, exist_ok=True)
    for shade, name in enumerate(names, start=1):
        Image.new("RGB", size, (shade,) * 3).save(folder / name)
    return folder


def _read(path, **settings) -> list[tuple[int, int]]:
    """Number and shade of each frame."""
    read = frames.read(path, **settings)
    return [(frame.number, int(frame.image[0, 0, 0])) for frame in read]


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (["000001.png", "000002.png", "000003.png"], [1, 2, 3]),
        (["0.png", "1.png", "2.png"], [1, 2, 3]),  # counted from 0
        (["9.png", "10.PNG", "12.png"], [9, 10, 12]),  # a gap
        (["c1_0.png", "c1_5.png", "c1_10.png"], [1, 6, 11]),
        (["f1_cam2.png", "f2_cam2.png"], [1, 2]),  # the last number is the same
        (["a.png", "b.png", "c.png"], [1, 2, 3]),
        (["12-30-05.png", "12-30-07.png", "12-31-00.png"], [1, 2, 3]),
    ],
)
def test_numbers_of_pictures_in_a_folder(tmp_path, names, numbers):
    folder = _folder(tmp_path / "img1", names)
    (folder / "seqinfo.ini").touch()
    (folder / "._000001.png").write_bytes(b"\0\5\x16\7")
    expected = list(zip(numbers, itertools.count(1)))
    assert _read(folder) == expected
    assert frames.num_frames(folder) == len(names)
    assert [frame.seconds for frame in frames.read(folder)] == [None] * len(names)


def test_times_of_pictures_come_from_the_rate(tmp_path):
    folder = _folder(tmp_path, ["3.png", "4.png", "8.png"])
    assert [f.seconds for f in frames.read(folder, fps=10)] == [0, 0.1, 0.5]


def test_patterns_take_the_number_in_the_name(tmp_path):
    _folder(tmp_path, ["a_0003.png", "a_0004.png", "a_12345.png"])
    _folder(tmp_path, ["a_3.png", "b_0005.png", "a_012345.png"])
    assert _read(tmp_path / "a_%04d.png") == [(3, 1), (4, 2), (12345, 3)]
    assert _read(tmp_path / "b_%04d.png") == [(5, 2)]
    assert _read(tmp_path / "a_%d.png") == [(3, 1), (12345, 3)]
    with pytest.raises(UserError, match=r"no file of .* has such a name"):
        _read(tmp_path / "c_%d.png")
    with pytest.raises(UserError, match=r"2 places for a number, not one"):
        _read(tmp_path / "%d_%d.png")
    with pytest.raises(UserError, match=r"there is no folder .*nowhere"):
        _read(tmp_path / "nowhere" / "%d.png")


def test_folders_that_are_no_video(tmp_path):
    (tmp_path / "a.txt").touch()
    with pytest.raises(UserError, match=r"holds no pictures \(.jpg"):
        _read(tmp_path)
    _folder(tmp_path / "img1", ["1.png"])
    with pytest.raises(UserError, match=r"holds no pictures; .*img1 does"):
        _read(tmp_path)
    _folder(tmp_path / "img1", ["01.png"])
    with pytest.raises(UserError, match=r"01.png and 1.png have the same number"):
        _read(tmp_path / "img1")


def test_pictures_of_two_sizes_and_damaged_ones(tmp_path):
    _folder(tmp_path / "a", ["1.png", "2.png"])
    _folder(tmp_path / "a", ["3.png"], size=(9, 9))
    with pytest.raises(UserError, match=r"3.png has 9×9 pixels, 1.png 6×4: the fr"):
        _read(tmp_path / "a")
    path = _folder(tmp_path / "b", ["1.jpg"], size=(64, 64)) / "1.jpg"
    whole = path.read_bytes()
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"1.jpg cannot be read as a picture: "):
            _read(tmp_path / "b")


def test_pictures_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image = Image.fromarray(np.rot90(SHOWN))
    image.save(tmp_path / "1.png", exif=exif)
    np.testing.assert_array_equal(next(frames.read(tmp_path)).image, SHOWN)


def test_files_that_are_no_video(tmp_path):
    path = tmp_path / "a.avi"
    for read in (lambda path: list(frames.read(path)), frames.num_frames):
        with pytest.raises(FileNotFoundError):
            read(path)
    path.write_bytes(b"no video" * 99)
    for read in (lambda path: list(frames.read(path)), frames.num_frames):
        with pytest.raises(UserError, match=r"a.avi cannot be read after frame 0"):
            read(path)


def test_a_file_of_sound_and_one_without_frames(tmp_path):
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(UserError, match=r"sound.wav has no video in it"):
        list(frames.read(tmp_path / "sound.wav"))
    with av.open(str(tmp_path / "none.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 4, 6, "bgr0"
        container.start_encoding()
    with pytest.raises(UserError, match=r"none.mkv (has no frames|cannot be read)"):
        list(frames.read(tmp_path / "none.mkv"))


def test_default_names(tmp_path, monkeypatch):
    folder = _folder(tmp_path / "MOT17-02" / "img1", ["000001.png"])
    for path in (folder, folder / "%06d.png", tmp_path / "MOT17-02"):
        assert pictures.default_name(path) == "MOT17-02"
    assert pictures.default_name(tmp_path / "c001" / "vdo.avi") == "vdo"
    monkeypatch.chdir(folder)
    for path in (".", "%06d.png", "../img1", "./"):
        assert pictures.default_name(pictures.pathlib.Path(path)) == "MOT17-02"
