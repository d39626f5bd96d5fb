"""Tables of scores as text."""

import pytest

from reid_jax.scoring import scores


def _row(mean_ap, **changes):
    cmc = {str(rank): mean_ap for rank in scores.CMC_RANKS}
    names = {"method": "trained", "metric": "l2", "protocol": "standard", "ap": "all"}
    row = {"rerank": False, "mean_ap": mean_ap, "mean_inp": 0.1, "cmc": cmc}
    return {**names, **row, **changes}


def test_means_of_runs_have_the_deviation_of_a_sample():
    tables = [[_row(x), _row(0.5, rerank=True)] for x in (0.2, 0.4, 0.3)]
    lines = scores.format_means(tables).splitlines()
    assert lines[2].split() == [
        *("trained", "l2", "no", "standard", "all"),
        *("30.0", "±", "10.0", "10.0", "±", "0.0"),
        *("30.0", "±", "10.0") * 4,
    ]
    assert "yes" in lines[3] and "50.0 ± 0.0" in lines[3]


def test_means_of_studies_name_the_level():
    tables = [[_row(x, level=0.001), _row(x, level=None)] for x in (0.2, 0.4)]
    lines = scores.format_means(tables).splitlines()
    assert "level" in lines[0]
    assert lines[2].split()[5:9] == ["0.001", "30.0", "±", "14.1"]
    assert "as it is" in lines[3]


def test_runs_of_different_rows_have_no_mean():
    tables = [[_row(0.2)], [_row(0.2, metric="xqda")]]
    with pytest.raises(ValueError, match="different rows"):
        scores.format_means(tables)
