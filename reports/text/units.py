"""Numbers as text: three significant digits and a fitting unit, in plain ASCII for any terminal and log file."""

from __future__ import annotations

import math

UNKNOWN = "-"
"""How every formatter writes None."""

_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_SI_SUFFIXES = ("", "k", "M", "G", "T", "P", "E")
_SHORT_TIMES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def format_bytes(size_bytes: float | None) -> str:
    """A number of bytes in binary units: 327155712 is `312 MiB`, 1331439862 is `1.24 GiB`; None is `-`.

    From 1000 to 1023 of a unit, all four digits are shown (`1013 MiB`).
    """
    if size_bytes is None:
        return UNKNOWN
    if not math.isfinite(size_bytes):
        return str(size_bytes)
    scaled, unit = _scale(size_bytes, 1024.0, _BINARY_UNITS)
    digits = f"{scaled:.0f}" if unit == "B" or abs(scaled) >= 999.5 else _three_digits(scaled)
    return f"{digits} {unit}"


def format_rate(per_second: float | None) -> str:
    """A rate per second with an SI suffix and no unit: 12345.6 is `12.3k`, 2500000.0 is `2.50M`; None is `-`."""
    if per_second is None:
        return UNKNOWN
    if not math.isfinite(per_second):
        return str(per_second)
    scaled, suffix = _scale(per_second, 1000.0, _SI_SUFFIXES)
    return f"{_three_digits(scaled)}{suffix}"


def format_seconds(seconds: float | None) -> str:
    """A duration in seconds: `312 ms`, `1.24 s`, `2 min 05 s`, `1 h 02 min`, `3 d 04 h`; None is `-`."""
    if seconds is None:
        return UNKNOWN
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 0:
        return f"-{format_seconds(-seconds)}"
    if seconds == 0:
        return "0 s"
    if seconds >= 59.95:
        return _long_duration(seconds)
    for unit_seconds, unit in _SHORT_TIMES:
        if seconds >= unit_seconds * 0.9995:
            return f"{_three_digits(seconds / unit_seconds)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def format_number(value: float | None) -> str:
    """A number without a unit: three significant digits, whole from 100 on (`0.0123`, `1.02`, `1234`); None is `-`."""
    if value is None:
        return UNKNOWN
    return _three_digits(value) if math.isfinite(value) and abs(value) < 1e6 else f"{value:.3g}"


def format_factor(value: float | None) -> str:
    """A ratio: 1.234 is `1.23x`; None is `-`."""
    return UNKNOWN if value is None else f"{format_number(value)}x"


def counted(number: int, noun: str) -> str:
    """A number of things: `1 point`, `3 points`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _long_duration(seconds: float) -> str:
    """A minute or more in two units, the smaller with two digits."""
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def _scale(value: float, base: float, names: tuple[str, ...]) -> tuple[float, str]:
    """`value` in the largest unit that makes it at least 1 after rounding to a whole number, and that unit."""
    scaled, index = float(value), 0
    while abs(scaled) >= base - 0.5 and index < len(names) - 1:
        scaled /= base
        index += 1
    return scaled, names[index]


def _three_digits(value: float) -> str:
    """`value` with three significant digits; in scientific notation only below 0.001."""
    if value == 0:
        return "0"
    if abs(value) < 0.000995:
        return f"{value:.2e}"
    # The exponent after rounding: 9.996 becomes 10.0, not 10.00.
    exponent = int(f"{value:.2e}".partition("e")[2])
    return f"{value:.{max(0, 2 - exponent)}f}"
