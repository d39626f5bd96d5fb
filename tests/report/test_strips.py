"""The pictures are written, are of sane sizes, and show what they are given."""

import numpy as np
import PIL.Image
import pytest

from reid_jax.report import strips


def _frames(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def _result(distance: float, is_match, *sizes) -> strips.Result:
    frames = _frames(*(sizes or [(32, 16)]))
    return strips.Result(frames, "0002, camera 1", distance, is_match)


def _row(*results: strips.Result) -> strips.RankedRow:
    query = strips.Strip(_frames((20, 10), (64, 48), (300, 70)), "0001, camera 0")
    return strips.RankedRow(query, list(results))


def _size(path) -> tuple[int, int]:
    """Width and height; checks that the picture is more than blank paper."""
    image = PIL.Image.open(path).convert("RGB")
    assert len(image.getcolors(image.width * image.height)) > 10
    return image.size


def _has_color(path, color: str) -> bool:
    wanted = tuple(bytes.fromhex(color.lstrip("#")))
    pixels = np.asarray(PIL.Image.open(path).convert("RGB"))
    # A few pixels at the edges of letters may have any grey.
    return int(np.sum(np.all(pixels == wanted, axis=-1))) > 500


def test_ranked_lists_of_strips_and_single_frames(tmp_path):
    path = tmp_path / "new" / "ranked.png"
    full = [_result(i / 10, i % 2 == 0, (40, 20), (50, 20), (40, 9)) for i in range(12)]
    rows = [_row(*full), _row(_result(0.0, True)), _row()]
    strips.ranked_lists(path, rows, title="walkers, L2")
    width, height = _size(path)
    assert width < 3000
    assert 500 < height < 750

    # Only the first ten are drawn.
    strips.ranked_lists(tmp_path / "ten.png", [_row(*full[:10]), *rows[1:]])
    assert _size(tmp_path / "ten.png")[0] == width
    # A picture of one result is narrower, one without a title lower.
    strips.ranked_lists(tmp_path / "one.png", [_row(full[0])])
    assert _size(tmp_path / "one.png")[0] < width / 3
    assert _size(tmp_path / "ten.png")[1] < height


@pytest.mark.parametrize(
    ("is_match", "color"),
    [(True, "#009E73"), (np.True_, "#009E73"), (False, "#D55E00"), (None, "#8C8C8C")],
)
def test_frame_tells_right_from_wrong(tmp_path, is_match, color):
    path = tmp_path / "ranked.png"
    strips.ranked_lists(path, [_row(_result(0.25, is_match))])
    for other in ("#009E73", "#D55E00", "#8C8C8C"):
        assert _has_color(path, other) == (other == color)


def test_right_and_wrong_differ_without_colours(tmp_path):
    shapes = []
    for is_match in (True, False):
        path = tmp_path / f"{is_match}.png"
        strips.ranked_lists(path, [_row(_result(0.25, is_match))])
        shapes.append(np.asarray(PIL.Image.open(path).convert("L")) > 250)
    assert np.mean(shapes[0] != shapes[1]) > 0.002  # dashes, and the mark


def test_attention_strips(tmp_path):
    clips = [
        (np.stack(_frames((32, 16), (32, 16), (32, 16))), np.array([0.2, 0.7, 0.1])),
        (np.stack(_frames((64, 64))), np.array([0.0])),
    ]
    path = tmp_path / "attention.png"
    strips.attention_strips(path, clips)
    width, height = _size(path)
    assert 250 < width < 600
    assert 300 < height < 500
    strips.attention_strips(path, clips[1:])  # all weights are zero


def test_what_cannot_be_drawn_is_a_value_error(tmp_path):
    path = tmp_path / "none.png"
    clip = np.stack(_frames((8, 8), (8, 8)))
    with pytest.raises(ValueError, match="rows is empty"):
        strips.ranked_lists(path, [])
    with pytest.raises(ValueError, match="clips is empty"):
        strips.attention_strips(path, [])
    with pytest.raises(ValueError, match="2 frames has 3 weights"):
        strips.attention_strips(path, [(clip, np.ones(3))])
    with pytest.raises(ValueError, match="not float32"):
        strips.attention_strips(path, [(clip.astype(np.float32), np.ones(2))])
    empty = strips.RankedRow(strips.Strip([], "none"), [])
    with pytest.raises(ValueError, match="one to three frames, not 0"):
        strips.ranked_lists(path, [empty])
    assert not path.exists()
