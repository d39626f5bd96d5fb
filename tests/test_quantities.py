"""Numbers with three digits and durations with their units."""

import pytest

from reid_jax import quantities


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (412.3, "412"),
        (4.1249, "4.12"),
        (41.25, "41.2"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (999.6, "1,000"),
        (-41234.0, "-41,200"),
        (0.0041234, "0.00412"),
        (0.000012345, "1.23e-05"),
        (float("nan"), "?"),
        (float("inf"), "?"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert quantities.three_digits(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (152, "2 min 32 s"),
        (3599.6, "1 h 00 min"),
        (3845, "1 h 04 min"),
        (86399, "1 d 00 h"),
        (200000, "2 d 08 h"),
        (float("nan"), "?"),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert quantities.duration(seconds) == text


def test_units_stand_behind_numbers():
    assert quantities.rate(412.3, "frames") == "412 frames/s"
    assert quantities.percent(0.4118) == "41.2 %"
    assert quantities.gigabytes(41.25e9) == "41.2 GB"
