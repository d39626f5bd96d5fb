"""Curves are drawn as they are given, under their own names."""

import numpy as np
import pytest

from reid_jax.report import curves as curve_pictures


def _names(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_cmc(tmp_path, figures):
    curves = {
        "trained": np.array([0.5, 0.75, 1.0]),
        "chance $1/G$": np.linspace(0.1, 0.9, 50),
        "_hidden, of a$\\frac$b": np.array([0.2]),
    }
    curve_pictures.cmc(tmp_path / "cmc.png", curves)
    (axes,) = figures[0].axes
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert axes.lines[0].get_ydata().tolist() == [50.0, 75.0, 100.0]
    assert axes.lines[1].get_ydata()[-1] == 90.0
    assert axes.get_xticks().tolist() == [1, 10, 20, 30, 40, 50]
    # "_" hides no curve, "$" is no formula.
    assert _names(axes) == [
        "trained (50.0 % at rank 1)",
        "chance $1/G$ (10.0 % at rank 1)",
        " _hidden, of a$\\frac$b (20.0 % at rank 1)",
    ]
    assert not any(t.get_parse_math() for t in axes.get_legend().get_texts())
    assert (tmp_path / "cmc.png").read_bytes().startswith(b"\x89PNG")


def test_roc(tmp_path, figures):
    curves = {"trained": {0.001: 0.25, 0.01: 0.5, 1.0: 1.0}, "few": {0.1: 0.75}}
    curve_pictures.roc(tmp_path / "roc.png", curves)
    (axes,) = figures[0].axes
    assert axes.get_xscale() == "log"
    assert axes.lines[0].get_xdata().tolist() == [0.1, 1.0, 100.0]
    assert axes.lines[0].get_ydata().tolist() == [25.0, 50.0, 100.0]
    assert _names(axes) == ["trained (50.0 % at FPR 1 %)", "few"]
    figures[0].draw_without_rendering()
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert {"0.1", "1", "10", "100"} <= set(labels)


def test_many_curves_of_long_names_are_told_apart(tmp_path, figures):
    name = "/data/runs/a_very_long_name_of_a_folder_in_a_folder_in_a_folder/run"
    curves = {f"{name}{i}": np.linspace(i / 10, 1, 20) for i in range(8)}
    curve_pictures.cmc(tmp_path / "cmc.png", curves)  # a warning would fail
    (axes,) = figures[0].axes
    looks = {(x.get_color(), x.get_linestyle(), x.get_marker()) for x in axes.lines}
    assert len(looks) == 8
    plain = [(x.get_linestyle(), x.get_marker()) for x in axes.lines[:7]]
    assert len(set(plain)) == 7  # without colors, too
    figures[0].draw_without_rendering()
    legend, panel = axes.get_legend().get_window_extent(), axes.get_window_extent()
    assert not legend.overlaps(panel)
    assert panel.height > 400
    assert 0 <= legend.x0 < legend.x1 <= figures[0].bbox.x1


def test_training_curves(tmp_path, figures):
    log = [
        {"step": 1, "loss": 2.0, "cross_entropy": 0.5},
        {"step": 2, "loss": 1.0, "cross_entropy": 0.25},
        {"step": 2, "mean_ap": 0.25, "rank1": 0.5},
    ]
    curve_pictures.training(tmp_path / "t.png", log)
    loss, test = figures[0].axes
    assert [loss.get_ylabel(), test.get_ylabel()] == ["loss", "test set, %"]
    assert _names(loss) == ["all", "cross-entropy"]
    assert _names(test) == ["mAP", "CMC-1"]
    assert loss.lines[1].get_xdata().tolist() == [1, 2]
    assert loss.lines[1].get_ydata().tolist() == [0.5, 0.25]
    assert test.lines[0].get_ydata().tolist() == [25.0]
    assert loss.get_ylim()[0] == 0
    assert test.get_ylim() == (0, 101)

    # The other parts of the loss keep their colors where one is not logged.
    log[0]["triplet"] = 1.5
    curve_pictures.training(tmp_path / "t.png", log)
    both, triplet, cross_entropy = figures[1].axes[0].lines
    assert triplet.get_label() == "triplet"
    assert triplet.get_color() not in (both.get_color(), cross_entropy.get_color())
    assert loss.lines[1].get_color() == cross_entropy.get_color()


def test_study(tmp_path, figures):
    levels = ["unchanged", "0.5", "0.25"]
    curves = {
        "mAP": {"l2": list(zip(levels, [0.5, 0.25, 0.125], strict=True))},
        "CMC-1": {
            "l2": list(zip(levels, [0.75, 0.5, 0.25], strict=True)),
            "x_$qda$": [("unchanged", 1.0)],
        },
    }
    curve_pictures.study(tmp_path / "s.png", curves, "variance", title="$walkers$")
    mean_ap, rank1 = figures[0].axes
    assert [mean_ap.get_ylabel(), rank1.get_ylabel()] == ["mAP, %", "CMC-1, %"]
    assert mean_ap.get_xlabel() == rank1.get_xlabel() == "variance"
    # In the order given, evenly.
    assert [text.get_text() for text in mean_ap.get_xticklabels()] == levels
    assert mean_ap.get_xticks() == [0, 1, 2]
    assert mean_ap.lines[0].get_ydata().tolist() == [50.0, 25.0, 12.5]
    assert _names(rank1) == ["l2", "x_$qda$"]
    assert not figures[0]._suptitle.get_parse_math()


@pytest.mark.parametrize("curves", [{}, {"a": np.array([])}])
def test_no_curve_is_a_value_error(tmp_path, curves):
    path = tmp_path / "none.png"
    with pytest.raises(ValueError, match="no curve to draw"):
        curve_pictures.cmc(path, curves)
    with pytest.raises(ValueError, match="no curve to draw"):
        curve_pictures.roc(path, {"a": {}})
    with pytest.raises(ValueError, match="no curve to draw"):
        curve_pictures.study(path, {"mAP": {}, "CMC-1": {"a": [("1", 0.5)]}}, "")
    with pytest.raises(ValueError, match="no curve to draw"):
        curve_pictures.training(path, [{"step": 1, "seconds": 2.0}])
    assert not path.exists()
