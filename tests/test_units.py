"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from reports.text.units import counted, format_bytes, format_factor, format_number, format_rate, format_seconds

MIB = 2**20
GIB = 2**30


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1.00 KiB"),
        (312 * MIB, "312 MiB"),
        (999.6 * MIB, "1000 MiB"),
        (1013 * MIB, "1013 MiB"),
        (1023.7 * MIB, "1.00 GiB"),
        (9.996 * MIB, "10.0 MiB"),
        (1.24 * GIB, "1.24 GiB"),
        (34.2 * GIB, "34.2 GiB"),
        (3 * 2**70, "3072 EiB"),
        (-5000, "-4.88 KiB"),
        (math.inf, "inf"),
    ],
)
def test_bytes_have_three_digits_and_a_binary_unit(size_bytes: float | None, text: str) -> None:
    assert format_bytes(size_bytes) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.0123, "0.0123"),
        (0.00001234, "1.23e-05"),
        (9.996, "10.0"),
        (999.4, "999"),
        (999.6, "1.00k"),
        (12_345.6, "12.3k"),
        (2_500_000.0, "2.50M"),
        (math.nan, "nan"),
    ],
)
def test_rates_have_three_digits_and_a_suffix(per_second: float | None, text: str) -> None:
    assert format_rate(per_second) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.0, "0 s"),
        (3e-10, "0.300 ns"),
        (1.24e-5, "12.4 us"),
        (0.312, "312 ms"),
        (0.9996, "1.00 s"),
        (1.24, "1.24 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (125.0, "2 min 05 s"),
        (3599.6, "1 h 00 min"),
        (3720.0, "1 h 02 min"),
        (86_399.0, "1 d 00 h"),
        (273_600.0, "3 d 04 h"),
        (-1.5, "-1.50 s"),
        (math.inf, "inf"),
    ],
)
def test_durations_use_the_units_people_use(seconds: float | None, text: str) -> None:
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (1.234, "1.23"), (0.0123, "0.0123"), (1234.0, "1234"), (1.5e7, "1.5e+07"), (float("nan"), "nan")],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert format_number(value) == text
    assert format_factor(value) == (text if value is None else f"{text}x")


@pytest.mark.parametrize(("number", "text"), [(0, "0 points"), (1, "1 point"), (3, "3 points")])
def test_things_are_counted(number: int, text: str) -> None:
    assert counted(number, "point") == text
