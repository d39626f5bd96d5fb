"""reid_jax/report/network.py, looked at through matplotlib."""

import numpy as np
import pytest
import threadpoolctl

from reid_jax.report import choices, style
from reid_jax.report import network as network_pictures
from reid_jax.scoring import scores


@pytest.mark.parametrize("T", [1, 3])
def test_filters_stand_in_order_of_time(tmp_path, figures, T):
    kernel = np.zeros((T, 2, 2, 3, 5), np.float32)
    for t in range(T):
        kernel[t, ..., 0] = (t + 1) / T  # the first filter grows over time
    kernel[..., 1] = -1.0
    given = kernel if T > 1 else kernel[0]
    network_pictures.filters(tmp_path / "f.png", given, made_from="step 12")
    assert style.made_from(tmp_path / "f.png") == "step 12"
    (image,) = (i.get_array() for i in figures[0].axes[0].get_images())
    first = [image[1, 1 + 2 * t, 0] for t in range(T)]
    np.testing.assert_allclose(first, [0.5 + (t + 1) / (2 * T) for t in range(T)])
    second = image[1, 4] if T == 1 else image[4, 1]  # beside it, or below
    np.testing.assert_allclose(second, 0.0)
    title = figures[0].axes[0].get_title()
    assert ("3 slices each" in title) == (T == 3)
    assert "5 filters" in title


def test_only_the_first_filters_of_many(tmp_path, figures):
    kernel = np.ones((3, 3, 3, 100), np.float32)
    kernel[..., 63:] = -1.0
    network_pictures.filters(tmp_path / "f.png", kernel)
    assert style.made_from(tmp_path / "f.png") is None
    axes = figures[0].axes[0]
    assert "64 filters" in axes.get_title()
    image = axes.get_images()[0].get_array()
    assert image.shape == (8 * 4, 8 * 4, 3)
    np.testing.assert_allclose(image[-3:, -3:], 0.0)  # the 64th
    np.testing.assert_allclose(image[-7:-4, -3:], 1.0)  # the one above it


def test_responses_are_under_their_frames(tmp_path, figures):
    clip = np.zeros((4, 8, 4, 3), np.uint8)
    maps = np.zeros((2, 2, 1, 3), np.float32)  # half as many moments
    maps[1, :, :, 2] = 5.0
    layers = {"layer 1": maps}
    network_pictures.responses(tmp_path / "r.png", clip, layers, made_from="step 12")
    assert style.made_from(tmp_path / "r.png") == "step 12"
    rows = np.array(figures[0].axes).reshape(-1, 4)
    assert len(rows) == 1 + 3
    assert rows[1, 0].get_ylabel() == "layer 1, channel 2"  # the most varied first
    shown = [axes.get_images()[0].get_array().max() for axes in rows[1]]
    assert shown == [0, 0, 1, 1]
    # All have the frames' shape, and stand below them.
    boxes = [axes.get_window_extent() for axes in rows[:2, 3]]
    for box in boxes:
        assert box.height == pytest.approx(2 * box.width, rel=1e-3)
    assert boxes[0].x0 == boxes[1].x0
    assert boxes[0].y0 > boxes[1].y1


@pytest.fixture
def one_thread():
    """t-SNE of a few points on one thread: several take seconds on a busy machine."""
    from sklearn import manifold  # noqa: F401  its threads are limited once loaded

    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.mark.usefixtures("one_thread")
def test_a_map_separates_who_differs(tmp_path, figures):
    rng = np.random.default_rng(0)
    pids = np.repeat([1, 2], 20)
    camids = np.tile([0, 1], 20)
    embeddings = rng.normal(size=(40, 8)) * 0.1
    embeddings[:, 3] += 4.0 * (pids == 2)
    for method in ("tsne", "pca"):
        network_pictures.embedding_map(
            tmp_path / "m.png", embeddings, pids, camids, method=method
        )
    tsne, pca = figures
    left, _ = tsne.axes
    one, two = (c.get_offsets() for c in left.collections[1:])
    assert np.linalg.norm(one.mean(0) - two.mean(0)) > 2 * max(one.std(), two.std())
    again, _ = network_pictures.MAPS["tsne"](embeddings)
    np.testing.assert_array_equal(one, again[pids == 1])
    assert left.get_xlabel() == "t-SNE"
    left, right = pca.axes
    by_person = {
        c.get_label(): c.get_offsets()[:, 0]
        for c in left.collections
        if c.get_label() in "12"
    }
    assert by_person["1"].max() < by_person["2"].min()
    assert [t.get_text() for t in right.get_legend().get_texts()] == ["1", "2"]
    assert "% of the variance" in left.get_xlabel()
    pca.draw_without_rendering()
    for axes in (left, right):
        legend = axes.get_legend().get_window_extent()
        assert not legend.overlaps(axes.get_window_extent())


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", ["pca", "tsne"])
@pytest.mark.parametrize(
    "embeddings",
    [np.ones((20, 8)), np.ones((1, 8)), np.eye(3), np.arange(9.0)[:, None]],
)
def test_a_map_of_next_to_nothing(method, embeddings):
    points, _ = network_pictures.MAPS[method](embeddings)
    assert points.shape == (len(embeddings), 2)
    assert np.isfinite(points).all()
    # Whoever is alike is in the same place, and nobody else.
    apart, places = (np.unique(rows, axis=0) for rows in (embeddings, points))
    assert len(apart) == len(places)


def test_a_map_of_one_tracklet_is_drawn(tmp_path, figures):
    one = np.array([0])
    network_pictures.embedding_map(tmp_path / "m.png", np.ones((1, 8)), one + 7, one)
    left, _ = figures[0].axes
    assert [c.get_offsets().tolist() for c in left.collections] == [[], [[0.0, 0.0]]]
    assert (tmp_path / "m.png").exists()


@pytest.mark.parametrize(
    ("backbone", "length", "moments"),
    [("resnet14_w8", 3, 3), ("resnet3d14_w8", 4, 2), ("c3d_w8", 16, 16)],
)
def test_first_layers(tiny_config, tiny_model, backbone, length, moments):
    temporal = "avg" if backbone == "resnet14_w8" else "none"
    tiny_config.model.update(backbone=backbone, temporal=temporal, clip_length=length)
    model = tiny_model(tiny_config)
    layers = choices.first_layers(model, np.zeros((1, length, 32, 16, 3), np.float32))
    assert list(layers) == ["conv1", "conv2" if "c3d" in backbone else "layer1"]
    assert len(layers["conv1"]) == moments
    assert all(maps.ndim == 4 for maps in layers.values())


def test_curves_come_back(tmp_path):
    curves = {"trained, l2": np.array([0.25, 0.5]), "b": np.array([0.1, 1.0])}
    scores.write_curves(tmp_path / "cmc.csv", curves)
    again = scores.read_curves(tmp_path / "cmc.csv")
    assert list(again) == list(curves)
    for name, curve in curves.items():
        np.testing.assert_allclose(again[name], curve)
