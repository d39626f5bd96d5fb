"""Formats numbers, durations and sizes as people read them, with their units."""

import math


def three_digits(value: float | int) -> str:
    """Formats a number with three significant digits: 0.00412, 4.12, 41.2, 4,120.

    A number that is not finite becomes "?".
    """
    if not math.isfinite(value):
        return "?"
    if value == 0:
        return "0"
    rounded = float(f"{value:.2e}")
    exponent = math.floor(math.log10(abs(rounded)))
    if exponent < -4:
        return f"{value:.2e}"
    return f"{rounded:,.{max(0, 2 - exponent)}f}"


def rate(per_second: float | int, unit: str) -> str:
    """Formats a rate: "412 frames/s"."""
    return f"{three_digits(per_second)} {unit}/s"


def percent(share: float | int) -> str:
    """Formats a share in [0, 1] with one decimal: "41.2 %"; "?" if not finite."""
    return f"{100 * share:.1f} %" if math.isfinite(share) else "?"


def gigabytes(num_bytes: float | int) -> str:
    """Formats a number of bytes: "4.12 GB"."""
    return f"{three_digits(num_bytes / 1e9)} GB"


def duration(seconds: float | int) -> str:
    """Formats a duration in its two largest units: "2 min 32 s", "1 h 04 min".

    Under a minute it has one unit, and under ten seconds one decimal. Durations that
    are not finite are "?".
    """
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 3599.5:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 24:
        return f"{hours} h {minutes:02} min"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days} d {hours:02} h"
