"""The pictures show what they are given, at its place, and nothing overlaps."""

import itertools

import numpy as np
import PIL.Image
import pytest

from reid_jax.report import strips, style


def _frames(*sizes: tuple[int, int]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def _result(distance: float, is_match, *sizes, **other) -> strips.Result:
    frames = _frames(*(sizes or [(32, 16)]))
    other = {"caption": "0002, camera 1"} | other
    return strips.Result(frames, distance=distance, is_match=is_match, **other)


def _row(*results: strips.Result) -> strips.RankedRow:
    query = strips.Strip(_frames((20, 10), (64, 48), (300, 70)), "0001, camera 0")
    return strips.RankedRow(query, list(results))


def _pixels(path, mode: str) -> np.ndarray:
    with PIL.Image.open(path) as image:
        return np.asarray(image.convert(mode))


def _has_color(path, color: str) -> bool:
    rgb = tuple(bytes.fromhex(color.lstrip("#")))
    pixels = _pixels(path, "RGB")
    # A few pixels at the edges of letters may have any grey.
    return int(np.sum(np.all(pixels == rgb, axis=-1))) > 500


def _boxes(canvas) -> list:
    """Where texts and images are, in pixels from the bottom left."""
    canvas.draw_without_rendering()  # places the texts; when saved it was cropped
    texts = [
        text
        for axes in canvas.axes
        for text in (axes.title, axes.xaxis.label, *axes.texts)
        if text.get_text()
    ]
    images = [image for axes in canvas.axes for image in axes.get_images()]
    return [artist.get_window_extent() for artist in (*texts, *images)]


def test_ranked_lists_say_what_they_show(tmp_path, figures):
    full = [_result(i / 8, i % 2 == 0, (40, 20), (50, 20)) for i in range(12)]
    far = _result(123456.0, None, caption="$one$ of_two$", rank=17)
    rows = [_row(), _row(*full), _row(_result(1e-7, True), far)]
    strips.ranked_lists(tmp_path / "new" / "ranked.png", rows, title="walkers, $L2")
    axes = figures[0].axes
    assert [a.title.get_text() for a in axes] == [
        "query",
        *("query", "rank 1  ✓ 0.00", "rank 2  ✗ 0.125", "rank 3  ✓ 0.250"),
        *("rank 4  ✗ 0.375", "rank 5  ✓ 0.500", "rank 6  ✗ 0.625", "rank 7  ✓ 0.750"),
        *("rank 8  ✗ 0.875", "rank 9  ✓ 1.00", "rank 10  ✗ 1.12"),
        *("query", "rank 1  ✓ 1.00e-07", "rank 17  ? 1.23e+05"),
    ]
    captions = [a.xaxis.label.get_text() for a in axes]
    assert captions[:3] == ["0001, camera 0", "0001, camera 0", "0002, camera 1"]
    assert captions[-1] == "$one$ of_two$"
    assert axes[0].texts[0].get_text() == "walkers, $L2"
    np.testing.assert_array_equal(
        axes[2].get_images()[0].get_array(), strips.side_by_side(full[0].frames)
    )


@pytest.mark.parametrize("long", ["", "a caption longer than any strip, at 00:01:02.3"])
def test_nothing_overlaps_and_images_keep_their_pixels(tmp_path, figures, long):
    odd = [
        _result(1e-7, True, (40, 20), (50, 20), (40, 9), caption=long),
        _result(123456.0, False, (30, 90), caption="x"),
        _result(0.5, None, caption=long + long),
    ]
    rows = [_row(*odd), _row(), _row(*odd[::-1])]
    strips.ranked_lists(tmp_path / "a.png", rows, title=f"walkers {long}")
    boxes = _boxes(figures[0])
    assert len(boxes) == 1 + 9 + 9 + (9 if long else 5)
    for one, two in itertools.combinations(boxes, 2):
        assert not one.overlaps(two)
    for axes in figures[0].axes:
        image, box = axes.get_images()[0], axes.get_window_extent()
        shape = image.get_array().shape
        np.testing.assert_allclose((box.height, box.width), shape[:2], atol=1e-6)
    # All is in the file: it is as large as what holds all texts, and a margin.
    height, width = _pixels(tmp_path / "a.png", "L").shape
    assert width > max(b.x1 for b in boxes) - min(b.x0 for b in boxes) + 10
    assert height > max(b.y1 for b in boxes) - min(b.y0 for b in boxes) + 10


def test_query_stands_apart_and_columns_are_straight(tmp_path, figures):
    results = [_result(0.1, True, (64, 128)) for _ in range(3)]
    strips.ranked_lists(tmp_path / "a.png", [_row(*results), _row(*results[:2])])
    boxes = [axes.get_window_extent() for axes in figures[0].axes]
    gaps = [right.x0 - left.x1 for left, right in itertools.pairwise(boxes[:4])]
    assert gaps[0] > 1.4 * gaps[1]
    np.testing.assert_allclose(gaps[1], gaps[2], atol=1e-6)
    np.testing.assert_allclose([b.x0 for b in boxes[4:]], [b.x0 for b in boxes[:3]])
    assert len({round(b.y0) for b in boxes[4:]}) == 1


@pytest.mark.parametrize(
    ("is_match", "color"),
    [(True, "#009E73"), (np.True_, "#009E73"), (False, "#D55E00"), (None, "#8C8C8C")],
)
def test_frame_tells_right_from_wrong(tmp_path, is_match, color):
    path = tmp_path / "ranked.png"
    strips.ranked_lists(path, [_row(_result(0.25, is_match))])
    for other in ("#009E73", "#D55E00", "#8C8C8C"):
        assert _has_color(path, other) == (other == color)


def test_right_and_wrong_differ_without_colors(tmp_path):
    shapes = []
    for is_match in (True, False):
        path = tmp_path / f"{is_match}.png"
        strips.ranked_lists(path, [_row(_result(0.25, is_match, (32, 64)))])
        shapes.append(_pixels(path, "L") > 250)
    # The left edge of the result's frame, in the only column that is dark throughout.
    columns = [(~shape[40:150]).mean(axis=0) for shape in shapes]
    edge = np.flatnonzero((columns[0] == 1) & (columns[1] < 0.9))
    assert len(edge) >= 3
    dark = ~shapes[1][40:150, edge[1]]
    assert np.sum(dark[1:] & ~dark[:-1]) >= 5  # dashes


def test_attention_is_to_one_scale_under_its_frames(tmp_path, figures):
    clips = [
        (np.stack(_frames(*[(32, 16)] * 3)), np.array([0.2, 0.8, 0.1])),
        (np.stack(_frames((64, 64), (64, 64))), np.array([0.4, 0.0])),
        (np.stack(_frames((100, 10))), np.array([0.004], np.float32)),
    ]
    path = tmp_path / "attention.png"
    strips.attention_strips(path, clips, made_from="step 12")
    assert style.made_from(path) == "step 12"
    axes = figures[0].axes
    for i, (_, weights) in enumerate(clips):
        above, below = axes[2 * i : 2 * i + 2]
        assert [t.get_text() for t in below.texts] == [f"{w:.2f}" for w in weights]
        bars = [bar.get_window_extent() for bar in below.patches]
        # 0.8 is 40 pixels high.
        np.testing.assert_allclose([b.height for b in bars], 50 * weights, atol=0.01)
        (image,) = above.get_images()
        box, shape = image.get_window_extent(), image.get_array().shape
        np.testing.assert_allclose((box.height, box.width), shape[:2], atol=1e-6)
        cell = box.width / len(weights)
        middles = [box.x0 + cell * (t + 0.5) for t in range(len(weights))]
        np.testing.assert_allclose([(b.x0 + b.x1) / 2 for b in bars], middles)
    for one, two in itertools.combinations(_boxes(figures[0]), 2):
        assert not one.overlaps(two)
    first = axes[0].get_images()[0].get_array()
    np.testing.assert_array_equal(first[:, 2:66], strips.resize(clips[0][0][0]))


def test_attention_that_is_zero_is_drawn(tmp_path, figures):
    clip = np.stack(_frames((64, 64)))
    strips.attention_strips(tmp_path / "a.png", [(clip, np.zeros(1))])
    assert [bar.get_height() for bar in figures[0].axes[1].patches] == [0.0]
    assert style.made_from(tmp_path / "a.png") is None


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
