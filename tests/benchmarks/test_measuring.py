"""`benchmarks/measuring.py`: medians, spreads and ratios of runs that take turns."""

import argparse
import json
import time

import pytest

from benchmarks import measuring


def test_figure_is_the_median_and_half_the_distance_of_the_quartiles():
    assert measuring.figure([5, 1, 3, 2, 4]) == measuring.Figure(3, 1)
    assert f"{measuring.Figure(12.345, 0.5):8.2f}" == "   12.35 ± 0.50 "
    alone = measuring.figure([7])
    assert alone == measuring.Figure(7, None)
    assert f"{alone:8.2f}" == "    7.00        "


def test_a_ratio_is_that_of_each_round(capsys):
    # The machine is four times as slow in the second and third round.
    ratio = measuring.ratio([8, 2, 2], [4, 1, 1])
    assert ratio == measuring.Figure(2, 0)
    with pytest.raises(ValueError, match="shorter"):
        measuring.ratio([1, 2], [1])
    found = {"theirs": [4, 1, 1], "ours": [8, 2, 2]}
    results = measuring.compare(found, "theirs", "frames/s")
    assert results["ours"] == {"frames/s": measuring.Figure(2, 1.5), "ratio": ratio}
    _, line = capsys.readouterr().out.splitlines()
    message = " ".join(line.split())
    assert message == "ours 2 ± 2 frames/s 2.00 ± 0.00 of theirs"


def test_runs_take_turns_after_a_call_that_is_not_counted():
    calls = []

    def measure(name):
        return lambda: calls.append(name) or len(calls)

    found = measuring.in_turn({"a": measure("a"), "b": measure("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert found == {"a": [3, 5], "b": [4, 6]}


def test_a_rate_is_what_was_made_in_a_second(monkeypatch):
    clock = iter([10.0, 14.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    assert measuring.rate(lambda: 8)() == 2


def test_the_peak_of_memory_stays_when_memory_is_given_back():
    before = measuring.megabytes("VmRSS")
    block = bytearray(2**26)
    block[::4096] = b"1" * len(block[::4096])
    while_there = measuring.megabytes("VmRSS")
    del block
    assert while_there > before + 60
    assert measuring.megabytes("VmHWM") > while_there - 4  # the kernel counts late
    assert measuring.megabytes("VmRSS") < while_there - 60


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


def test_a_script_alone_sets_no_tunables(capsys, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    machine = measuring.begin(argparse.Namespace())
    assert machine["tunables"] == "none"
    assert "tunables none" in capsys.readouterr().out


def test_flags_of_a_script(capsys):
    parser = measuring.parser("Measures it.\n\npython it.py\n", rounds=3)
    assert parser.description == "Measures it."
    assert parser.parse_args([]).rounds == 3
    with pytest.raises(SystemExit):
        parser.parse_args(["--rounds=0"])
    assert "0: at least 1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        measuring.parser("Measures it.").parse_args(["--rounds=1"])


@pytest.mark.parametrize(
    ("text", "message"), [("1", "1: at least 2"), ("two", "'two': not a whole number")]
)
def test_numbers_that_cannot_be(text, message):
    assert measuring.at_least(2)("2") == 2
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        measuring.at_least(2)(text)
