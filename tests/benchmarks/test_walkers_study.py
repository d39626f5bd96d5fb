"""benchmarks/walkers_study.py: what a difference of two rows says."""

import types

import numpy as np
import pytest

from benchmarks import walkers_study
from configs import tables
from tests.retrieval.test_summary import _of_ap


def test_conclusions_are_about_rows_of_the_tables():
    for conclusion in walkers_study.CONCLUSIONS:
        names = {row.name for row in tables.TABLES[conclusion.table].rows}
        assert {conclusion.better, conclusion.worse} <= names
    assert len({c.text for c in walkers_study.CONCLUSIONS}) == 14


@pytest.mark.parametrize(
    ("shift", "alike", "verdict"),
    [
        (0.2, False, "holds"),
        (-0.2, False, "the other way round"),
        (0.0, False, "not decided"),
        (0.0, True, "no difference seen"),
        (0.2, True, "they differ"),
    ],
)
def test_verdicts(shift, alike, verdict):
    rng = np.random.default_rng(0)
    persons = np.arange(80)

    def measured(values):
        query = types.SimpleNamespace(pids=persons)
        one = types.SimpleNamespace(ranking=_of_ap(values), query=query)
        return types.SimpleNamespace(mean=np.array([values.mean()]), scored=[one])

    ap = rng.uniform(0.2, 0.8, 80)
    found = {
        "avg pool": measured(ap + shift + rng.normal(0, 0.05, 80)),
        "max pool": measured(ap + rng.normal(0, 0.05, 80)),
    }
    result = types.SimpleNamespace(table=tables.TABLES["2"], measured=found)
    conclusion = walkers_study.Conclusion("text", "2", "avg pool", "max pool", alike)
    text, paper, here, interval, judgement = walkers_study.judge(conclusion, result)
    assert (text, paper, judgement) == ("text", "+1.7", verdict)
    low, high = map(float, interval.split())
    assert low <= float(here) <= high
    found["max pool"] = None
    assert walkers_study.judge(conclusion, result)[2:] == ["-", "-", "not run"]
