"""`benchmarks/measuring.py`: medians, spreads and ratios of runs that take turns."""

import argparse
import json

import pytest

from benchmarks import measuring


def test_figure_is_the_median_and_half_the_distance_of_the_quartiles():
    assert measuring.figure([5, 1, 3, 2, 4]) == measuring.Figure(3, 1)
    assert f"{measuring.Figure(12.345, 0.5):8.2f}" == "   12.35 ± 0.50 "
    alone = measuring.figure([7])
    assert alone == measuring.Figure(7, None)
    assert f"{alone:8.2f}" == "    7.00        "


def test_a_ratio_is_that_of_each_round():
    # The machine is four times as slow in the second and third round.
    ratio = measuring.ratio([8, 2, 2], [4, 1, 1])
    assert ratio == measuring.Figure(2, 0)
    with pytest.raises(ValueError, match="shorter"):
        measuring.ratio([1, 2], [1])


def test_runs_take_turns_after_a_call_that_is_not_counted():
    calls = []

    def measure(name):
        return lambda: calls.append(name) or len(calls)

    found = measuring.in_turn({"a": measure("a"), "b": measure("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_the_last_line_is_json(capsys, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
    machine = measuring.begin(argparse.Namespace(rounds=3))
    measuring.print_json(machine, {"ours": measuring.Figure(1.5, 0.25)})
    first, last = capsys.readouterr().out.splitlines()
    assert f"python {machine['python']}" in first and "jax " in first
    assert "tunables glibc.malloc.hugetlb=1" in first
    assert machine["arguments"] == {"rounds": 3}
    assert json.loads(last) == {
        "machine": machine,
        "results": {"ours": {"median": 1.5, "spread": 0.25}},
    }


@pytest.mark.parametrize(
    ("text", "said"), [("1", "1: at least 2"), ("two", "'two': not a whole number")]
)
def test_numbers_that_cannot_be(text, said):
    assert measuring.at_least(2)("2") == 2
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        measuring.at_least(2)(text)
