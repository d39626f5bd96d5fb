"""Checks of sources: damaged images, and messages of many problems."""

import io
import sys

import pytest

from data.sources import checks, image_files
from tests.mars_layout import tiny_jpeg
from tests.source_layouts import tiny_png


def test_sound_images_are_not_called_damaged():
    for image in (tiny_jpeg(7), tiny_png(7)):
        for after in (b"", b"\0" * 9, b"\r\n", b"any comment"):
            assert checks.damage(image + after) is None
    image = tiny_jpeg(7)
    thumbnail = image[:2] + b"\xff\xe1" + (len(image) + 2).to_bytes(2, "big") + image
    assert checks.damage(thumbnail + image[2:]) is None
    assert checks.damage(thumbnail + image[2:-2]) == "truncated"


@pytest.mark.parametrize("whole", [tiny_jpeg(7), tiny_png(7)])
def test_truncated_anywhere(whole):
    assert checks.damage(b"") == "empty"
    for length in range(1, len(whole)):
        damage = checks.damage(whole[:length])
        assert damage == "truncated" if length >= 8 else damage is not None
    half = len(whole) // 2
    assert checks.damage(whole[:half] + bytes(half)) is not None


def test_other_content_and_changed_bytes():
    assert checks.damage(b"<html>not here</html>") == "neither JPEG nor PNG"
    assert checks.damage(b"GIF89a" + bytes(99)) == "neither JPEG nor PNG"
    image = bytearray(tiny_png(7))
    image[image.index(b"IDAT") + 6] ^= 1
    assert checks.damage(bytes(image)) == "damaged (checksum)"


def test_all_problems_on_request(tmp_path, capsys):
    with checks.showing(True):
        error = checks.SourceError("elephants", tmp_path, map(str, range(12)))
        checks.warn("herd", [str(n) for n in range(11)])
        assert checks.shortened(range(12)).endswith("10, 11")
    assert str(error).endswith(
        "has 12 problems:" + "".join(f"\n  {n}" for n in range(12))
    )
    assert capsys.readouterr().err.endswith("\n  9\n  10\n")
    assert checks.shortened(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 others"


def test_message_counts_and_shows_ten(tmp_path, capsys):
    error = checks.SourceError("elephants", tmp_path, map(str, range(12)))
    assert error.problems[-1] == "11"
    lines = str(error).splitlines()
    assert lines[0] == f"elephants in {tmp_path} has 12 problems; the first 10:"
    assert lines[1:] == [f"  {number}" for number in range(10)]
    assert str(checks.SourceError("mice", "here", ["none"])) == (
        "mice in here has 1 problem:\n  none"
    )
    checks.warn("mice", [])
    checks.warn("mice", ["one", "two"])
    captured = capsys.readouterr()
    assert captured.err == "mice has 2 warnings:\n  one\n  two\n"
    assert not captured.out


def test_natural_order():
    paths = ["a/10.jpg", "a/9.jpg", "a/09.jpg", "b/1.jpg", "a/1_2.jpg", "a/1_10.jpg"]
    expected = ["a/1_2.jpg", "a/1_10.jpg", "a/09.jpg", "a/9.jpg", "a/10.jpg", "b/1.jpg"]
    assert sorted(paths, key=image_files.natural_key) == expected
    assert sorted(["x", "1", "", "1x", "x1"], key=image_files.natural_key) == [
        *("", "1", "1x", "x", "x1")
    ]


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([3], []),
        ([1, 2, 3], []),
        ([1, 2, 5, 6], ["frame 2 is followed by 5 (a_2.jpg)"]),
        ([5, 10, 15, 30, 35, 40, 50], ["15 is followed by 30", "40 is followed by 50"]),
    ],
)
def test_gaps(numbers, expected):
    found = list(image_files.gaps([f"a_{number}.jpg" for number in numbers]))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))


def test_names_that_are_not_numbered_alike_have_no_gaps():
    assert not list(image_files.gaps(["a1.jpg", "b9.jpg", "b99.jpg"]))
    assert not list(image_files.gaps(["a/1.jpg", "b/9.jpg", "b/20.jpg"]))
    assert not list(image_files.gaps(["front.jpg", "side.jpg"]))
    assert not list(image_files.gaps([]))


def test_a_reader_that_has_gone_stops_nothing(monkeypatch):
    """Stderr is closed, as by `| head`."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Closed())
    checks.warn("A source", ["one thing"])
