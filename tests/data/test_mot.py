"""Files of tracks: their separators, headers, classes, and lines that are no use."""

import pytest

from data.videos import mot
from reid_jax.errors import UserError


@pytest.fixture
def read(tmp_path):
    """Writes a file and reads its tracks."""

    def read(text: str | bytes, **settings) -> mot.Tracks:
        path = tmp_path / "tracks.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return mot.read_tracks(path, **settings)

    return read


def test_reads_tracks_in_order_of_ids_and_frames(read):
    tracks = read(
        "3,7,10.5,20,5,8,-1,-1,-1,-1\n\n1,7,9,20,5,8.25\n1.0, 2, -3, 4, 5, 6, 1\n"
    )
    assert (tracks.left_out, tracks.first_frame) == ((), 1)
    assert list(tracks.by_id) == [2, 7]
    assert tracks.by_id[7].frames.tolist() == [1, 3]
    assert tracks.by_id[7].boxes.tolist() == [[9, 20, 5, 8.25], [10.5, 20, 5, 8]]
    assert tracks.by_id[7].lines.tolist() == [3, 1]
    assert tracks.by_id[2].boxes.tolist() == [[-3, 4, 5, 6]]


ROWS = [(1, 7, 9.5, 20, 5, 8.25, 0.9, -1, -1, -1), (2, 7, 10, 20, 5, 8, 1, -1, -1, -1)]


@pytest.mark.parametrize("separator", [",", ";", " ", "\t", ", ", "; ", "  ", ",\t"])
@pytest.mark.parametrize(
    "header",
    [
        "",
        "frame,id,left,top,width,height,conf",
        "Frame;ID;BB Left;BB_top;bb-width;bbHeight",
        "frame_id track_id x y w h score class_id visibility",
        "# frame,id,x1,y1,w,h",
        "# written by a tracker on Monday at noon or so",
        "# 3 people",
    ],
)
def test_separators_and_headers(read, separator, header):
    lines = [header] * bool(header) + [separator.join(map(str, row)) for row in ROWS]
    for end, start in (("\n", b""), ("\r\n", b"\xef\xbb\xbf")):
        tracks = read(start + "".join(f"{line}{end}" for line in lines).encode())
        assert not tracks.left_out
        assert tracks.by_id[7].frames.tolist() == [1, 2]
        assert tracks.by_id[7].boxes[0].tolist() == [9.5, 20, 5, 8.25]


def test_a_separator_may_end_the_line_and_powershell_may_write_it(read):
    assert list(read("1,2,3,4,5,6,\n").by_id) == [2]
    assert list(read("frame,id,x,y,w,h\r\n1,2,3,4,5,6\r\n".encode("utf-16")).by_id) == [
        2
    ]


@pytest.mark.parametrize(
    ("header", "column", "usual"),
    [
        ("id,frame,left,top,width,height", "id", "frame"),
        ("frame,id,x1,y1,x2,y2", "x2", "width"),
        ("frame,id,conf,left,top,width,height", "conf", "left"),
        ("frame id cx cy w h", "cx", "left"),
        ("# frame,track,x,y,right,bottom", "right", "width"),
    ],
)
def test_a_header_names_the_usual_order_only(read, header, column, usual):
    with pytest.raises(UserError, match=r"line 1: the header has the column") as error:
        read(f"{header}\n1,2,3,4,5,6\n")
    assert f"{column!r} where {usual!r} should be" in str(error.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3,4,5", "fewer than six numbers"),
        ("1;2;3,5;4;5;6", "not a number"),
        ("frame,id,left,top,width,height", "not a number"),
        ("1,2,,4,5,6", "not a number"),
        ("1,2,nan,4,5,6", "not a finite number"),
        ("-1,2,3,4,5,6", "the frame is not a whole number from 0"),
        ("1.5,2,3,4,5,6", "the frame is not a whole number from 0"),
        ("1,-1,3,4,5,6", "the id is not a whole number from 0; -1 is a detection "),
        ("1,1e300,3,4,5,6", "the id is not a whole number from 0; -1 is a detection "),
        ("1e300,1,3,4,5,6", "the frame is not a whole number from 0"),
        ("1,2,3,4,0,6", "empty box"),
        ("1,2,3,4,5,-6", "empty box"),
        ("4,1,3,4,5,6", "the id is in that frame already"),
    ],
)
def test_lines_that_cannot_be_used_are_left_out(read, line, reason):
    tracks = read(f"4,1,0,0,9,9\n{line}\n5,1,0,0,9,9\n")
    (left_out,) = tracks.left_out
    assert left_out.reason.startswith(reason) and left_out.is_bad
    assert left_out.lines == (2,)
    assert left_out.example == ("" if "already" in reason else line)
    assert tracks.by_id[1].frames.tolist() == [4, 5]
    assert tracks.by_id[1].boxes.tolist() == [[0, 0, 9, 9]] * 2


def test_what_is_left_out_is_counted_with_examples(read):
    tracks = read(
        "1,1,0,0,9,9\n" * 2
        + "wrong\n" * 12
        + "".join(f"{n},2,0,0,9,9\n" for n in range(1, 20))
    )
    assert list(map(str, tracks.left_out)) == [
        "1 box left out (the id is in that frame already): line 2",
        "12 boxes left out (fewer than six numbers): lines 3, 4, 5, 6, 7, 8, 9, 10, "
        "11, 12 and 2 others, the first is 'wrong'",
    ]


def test_more_bad_lines_than_good_ones_are_refused(read):
    good = "1,1,0,0,9,9\n"
    assert read(f"{good}wrong\n").by_id
    with pytest.raises(
        UserError, match=r"2 of 3 lines cannot be used:\n  2 boxes left"
    ):
        read(f"{good}wrong\nwrong\n")
    with pytest.raises(UserError, match=r"2 of 2 lines cannot .*\n.*-1 is a detection"):
        read("1,-1,0,0,9,9,0.5\n1,-1,50,0,9,9,0.5\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no tracks in it"),
        (b"\n \n", "no tracks in it"),
        (b"frame,id,left,top,width,height\n", "no tracks in it"),
        (b"\x00\x01\x02" * 99, "is no text file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(1, 255)) * 9, "lines cannot be used"),
    ],
)
def test_files_without_tracks(read, content, expected):
    with pytest.raises(UserError, match=expected):
        read(content)


def test_frames_are_renumbered_from_the_first(read):
    text = "0,1,0,0,9,9\n3,1,0,0,9,9\n"
    with pytest.raises(mot.CountsFromZeroError, match=r"counts frames from 0.*rame=0"):
        read(text)
    assert read(text, first_frame=0).by_id[1].frames.tolist() == [1, 4]
    tracks = read("1,1,0,0,9,9\n2,1,0,0,9,9\n5,1,0,0,9,9\n", first_frame=2)
    assert tracks.by_id[1].frames.tolist() == [1, 4]
    assert [each.reason for each in tracks.left_out] == ["before the first frame"]


KINDS = {1: "1,1,0.95", 2: "0,1,0.9", 3: "0,3,0", 4: "1.0,8.0,1.0", 5: "0,7,.5"}


def _ground_truth(kinds: dict[int, str]) -> str:
    rows = ((n, track_id, kind) for n in (1, 2) for track_id, kind in kinds.items())
    return "".join(f"{n},{track_id},0,0,9,9,{kind}\n" for n, track_id, kind in rows)


def test_ground_truth_keeps_pedestrians_that_are_considered(read):
    tracks = read(_ground_truth(KINDS))
    assert list(tracks.by_id) == [1]
    assert {each.reason: each.lines for each in tracks.left_out} == {
        "flag 0 (not considered) in column 7": (2, 7),
        "class 3, not 1 (pedestrian), in column 8": (3, 8),
        "class 8, not 1 (pedestrian), in column 8": (4, 9),
        "class 7, not 1 (pedestrian), in column 8": (5, 10),
    }
    assert not any(each.is_bad for each in tracks.left_out)


@pytest.mark.parametrize(
    "rest",
    [
        "0,3,0.5,-1",  # ten columns
        "0,3",
        "0.9,3,0.5",  # a confidence
        "0,3,-1",
        "0,-1,-1",
        "0,0,1",
        "0,3.5,1",
        "0,3,nan",
    ],
)
def test_a_trackers_lines_are_all_kept(read, rest):
    tracks = read(_ground_truth(dict.fromkeys(KINDS, rest)))
    assert list(tracks.by_id) == list(KINDS) and not tracks.left_out


def test_most_lines_say_whether_it_is_ground_truth(read):
    tracks = read(_ground_truth({1: "1,1,1", 2: "0,3,1", 3: "0,3"}))
    assert list(tracks.by_id) == [1]
    assert "no flag, class and visibility" in {x.reason for x in tracks.left_out}
    tracker = {1: "1,1,1", 2: "0.7,3,1", 3: "0.8,1,1"}
    assert list(read(_ground_truth(tracker)).by_id) == [1, 2, 3]


def test_classes_by_their_numbers(read):
    assert list(read(_ground_truth(KINDS), classes={1, 7}).by_id) == [1, 2, 5]
    tracks = read(
        "1,1,0,0,9,9,1,2,0,0\n1,2,0,0,9,9,1,4,0,0\n", classes=(2,)
    )  # VisDrone
    assert list(tracks.by_id) == [1]
    assert tracks.left_out[0].reason == "class 4 in column 8"
    with pytest.raises(UserError, match="has no classes in column 8"):
        read("1,1,0,0,9,9\n", classes=(1,))
    with pytest.raises(UserError, match="no tracks in it"):
        read(_ground_truth(KINDS), classes=(2,))


def test_boxes_of_nobody_are_no_bad_lines(read):
    tracks = read("1,-1,0,0,9,9\n2,0,0,0,9,9\n1,5,0,0,9,9\n", nobody=(-1, 0))
    assert list(tracks.by_id) == [5]
    assert [(x.reason, x.is_bad) for x in tracks.left_out] == [
        ("persons without identity", False)
    ]
