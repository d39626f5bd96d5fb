"""data/videos/track_lines.py: lines read many at once, and files with other ids."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.videos import track_lines, track_numbers

_FLAGS = ["0", "1", "1.0", "0.0", "1.00", "+1", " 1", "0.9"]
_CLASSES = ["1", "8.0", "0", "-1", "1.5", "x"]
_SEEN = ["0", "1", "0.5", "-1", "1.2"]
_ODD = ["", "-1", "1.5", "1e400", "nan", "1_0", "+1", "1.", ".5", "1 2", "1e300", "0"]
_OTHER_LINES = [
    "",
    " \t",
    "# 1,2,3,4,5,6",
    "frame,id,left,top,width,height",
    "1,2",
    "é",
]


@st.composite
def _line(draw) -> list[str]:
    whole = st.integers(1, 9).map(str)
    fields = [draw(whole) for _ in range(6)]
    fields += [draw(st.sampled_from(each)) for each in (_FLAGS, _CLASSES, _SEEN)]
    if draw(st.integers(0, 3)) == 0:
        fields[draw(st.integers(0, 8))] = draw(st.sampled_from(_ODD))
    return fields


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_lines_read_at_once_are_as_lines_read_one_at_a_time(tmp_path_factory, data):
    separator = data.draw(st.sampled_from([",", ",", ";", " ", "\t", ", "]))
    width = data.draw(st.sampled_from([6, 7, 8, 9, 9]))
    lines = [
        separator.join(x[:width]) for x in data.draw(st.lists(_line(), max_size=6))
    ]
    if data.draw(st.booleans()):
        other = data.draw(st.sampled_from(_OTHER_LINES))
        lines.insert(data.draw(st.integers(0, len(lines))), other)
    path = tmp_path_factory.getbasetemp() / "lines.txt"
    path.write_text("\n".join(lines) + "\n" * data.draw(st.integers(0, 1)), "utf-8")
    nobody = data.draw(st.sampled_from([(), (-1, 0)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(track_lines, "_BLOCK", data.draw(st.integers(1, 4)))
        found = dataclasses.asdict(track_lines.read(path, nobody=nobody))
        patch.setattr(track_numbers, "read", lambda texts: None)
        expected = dataclasses.asdict(track_lines.read(path, nobody=nobody))
    assert found.pop("problems") == expected.pop("problems")
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, name)
        assert found[name].dtype == values.dtype


@pytest.mark.parametrize(
    "line",
    [
        "1,2,3,4,5,6",
        "1,2,3.5,4,5,6,0.9,-1,-1,-1",
        "1, 2, 3.5, 4, 5, 6, 0.9, -1, -1, -1",
        "1,2,3,4,5,6,1,1,0.5",
        "1;2;3;4;5;6;1.0;1;1e-05",
        "1 2 3 4 5 6 -1 -1 -1 0 ",
        "1\t2\t3\t4\t5\t6\t1\t1\t0.5",
    ],
)
def test_what_trackers_write_is_read_at_once(line):
    numbers = track_numbers.read([f"{line}\n", line])
    assert numbers.shape == (2, track_numbers.NUM_VALUES)
    assert track_numbers.are_usable(numbers, ()).all()


def test_places_after_a_block_that_is_read_one_line_at_a_time(tmp_path):
    """A comment makes the second block one of these."""
    size = track_lines._BLOCK
    texts = [f"{frame},1,0,0,9,9\n" for frame in range(1, 3 * size + 1)]
    texts[size + 4] = "# a comment\n"
    texts[size + 6] = "wrong\n"
    texts[2 * size + 2] = "5,-1,0,0,9,9\n"
    path = tmp_path / "tracks.txt"
    path.write_text("".join(texts))
    lines = track_lines.read(path)
    assert set(range(1, 3 * size + 1)) - set(lines.numbers.tolist()) == {size + 5}
    assert list(lines.problems) == [size + 7, 2 * size + 3]
    is_good = lines.frames > 0
    np.testing.assert_array_equal(lines.frames[is_good], lines.numbers[is_good])
    assert np.sum(~is_good) == 2


@pytest.fixture
def rewrite(tmp_path):
    """Writes a file and returns its bytes with other ids."""

    def rewrite(content: bytes, *arguments) -> bytes:
        path = tmp_path / "tracks.txt"
        path.write_bytes(content)
        return track_lines.with_ids(path, *arguments)

    return rewrite


@pytest.mark.parametrize("separator", [",", ";", " ", "\t", ", ", " ;\t", "  "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be", "latin-1"]
)
def test_other_ids_leave_the_rest_as_it_is(rewrite, separator, end, encoding):
    """Each encoding but UTF-8 and Latin-1 has its mark; the last line has no end."""

    def file(*ids: int) -> bytes:
        lines = [f" {n}{separator}{x}{separator}7 " for n, x in enumerate(ids)]
        text = end.join([lines[0], "# caf\xe9", "", *lines[1:]])
        return ("\ufeff" * encoding.startswith("utf-16") + text).encode(encoding)

    assert rewrite(file(7, 70, 7), {1: 12, 5: 3}) == file(12, 70, 3)
    assert rewrite(file(7, 70, 7), {}) == file(7, 70, 7)


def test_the_lines_with_other_ids_are_those_that_are_read(rewrite, tmp_path):
    """A form feed and U+2028 end no line; a no-break space is a space."""
    content = "# \x0c \u2028\n1,\xa07,0,0,9,9\r\r\n2,7,0,0,9,9\n".encode()
    assert rewrite(content, {2: 5, 4: 6}) == content.replace(b"7", b"5", 1).replace(
        b"7", b"6"
    )
    assert track_lines.read(tmp_path / "tracks.txt").numbers.tolist() == [2, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_dropped_lines_are_left_out_but_not_the_mark(rewrite, encoding):
    content = "1,7,0\r\n2,7,0\r\n\r\n3,7,0".encode(encoding)
    assert rewrite(content, {2: 5}, [1, 4]) == "2,5,0\r\n\r\n".encode(encoding)
    assert rewrite(content, {1: 5, 4: 5}, {1, 2, 3}) == "3,5,0".encode(encoding)
    assert rewrite(content, {}, range(1, 5)) == "".encode(encoding)


def test_bytes_that_are_no_text_stay(rewrite):
    for content in (
        b"1,7\n# \xff\xe9\n2,7 \xc3",
        "1,7\n2,7".encode("utf-16") + b"\x00\xd8\n",  # half a pair, half a character
    ):
        assert rewrite(content, {1: 8}) == content.replace(b"7", b"8", 1)
