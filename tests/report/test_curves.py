"""Curves are drawn as they are given, under their own names."""

import numpy as np
import pytest
from PIL import Image

from reid_jax.report import curves as curve_pictures


def test_cmc(tmp_path, figures):
    curves = {
        "trained": np.array([0.5, 0.7, 1.0]),
        "chance $1/G$": np.linspace(0.1, 0.9, 50),
        "_hidden, of a$\\frac$b": np.array([0.2]),
    }
    curve_pictures.cmc(tmp_path / "cmc.png", curves)
    (axes,) = figures[0].axes
    assert axes.lines[0].get_ydata().tolist() == [50.0, 70.0, 100.0]
    assert len(axes.get_legend().get_texts()) == 3  # "_" hides none, "$" stops none
    with Image.open(tmp_path / "cmc.png") as image:
        assert image.size == (1200, 840)
        assert len(image.convert("RGB").getcolors(10**6)) > 10
    curve_pictures.cmc(tmp_path / "cmc.pdf", curves)
    assert (tmp_path / "cmc.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("curves", [{}, {"a": np.array([])}])
def test_no_curve_is_a_value_error(tmp_path, curves):
    with pytest.raises(ValueError, match="no curve to draw"):
        curve_pictures.cmc(tmp_path / "none.png", curves)
    assert not (tmp_path / "none.png").exists()


def test_training_curves(tmp_path, figures):
    log = [
        {"step": 1, "loss": 2.0, "triplet": 1.5, "cross_entropy": 0.5},
        {"step": 2, "loss": 1.0, "triplet": 0.5, "cross_entropy": 0.5},
        {"step": 2, "mean_ap": 0.25, "rank1": 0.5},
    ]
    curve_pictures.training(tmp_path / "t.png", log)
    loss, test = figures[0].axes
    assert [line.get_label() for line in loss.lines] == [
        *("both", "triplet", "cross-entropy")
    ]
    assert test.lines[0].get_ydata().tolist() == [25.0]
    with Image.open(tmp_path / "t.png") as image:
        assert image.width > 500
    with pytest.raises(ValueError, match="no curve"):
        curve_pictures.training(tmp_path / "t.png", [])
