"""Round tick values along an axis, with units: the only source of ticks, for pictures and for the page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.text.units import format_bytes, format_rate, format_seconds

FEWEST, MOST = 4, 9
"""The number of ticks to aim for, and the largest number."""
_LINEAR = 4
"""At most this many steps from 0 to the largest value of a linear axis."""
_EVEN_BELOW = 4.0
_STEPS: dict[int, tuple[tuple[float, ...], ...]] = {
    10: (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 5, 7),
        tuple(n / 10 for n in range(10, 100, 5)),
        tuple(n / 10 for n in range(10, 100)),
    ),
    2: (
        (1,),
        (1, 1.5),
        (1, 1.25, 1.5, 1.75),
        tuple(n / 16 for n in range(16, 32)),
        tuple(n / 64 for n in range(64, 128)),
    ),
}
"""Multiples of each power of the base that a tick may have, from coarse to fine."""


def tick_levels(low: float, high: float, unit: str) -> list[list[float]]:
    """All candidates for ticks from `low` to `high` of a logarithmic axis, from coarse to fine.

    Bytes and counts are round as powers of two, rates and seconds as powers of ten.

    Args:
        low: above 0.
        high: at least `low`.
        unit: `bytes`, `rate`, `seconds` or `count`.
    """
    base = 2 if unit in ("bytes", "count") else 10
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    return [
        [
            step * float(base) ** power
            for power in range(first, last + 1)
            for step in steps
            if low <= step * float(base) ** power <= high
        ]
        for steps in _STEPS[base]
    ]


def ticks(low: float, high: float, unit: str) -> list[float]:
    """Two to nine ticks from `low` to `high`, arguments as for `tick_levels`.

    They are those of the coarsest level with at least four, thinned evenly. With no round number in between, they are
    the ends themselves.
    """
    levels = tick_levels(low, high, unit)
    found = next((level for level in levels if len(level) >= FEWEST), levels[-1])
    if len(found) < 2:
        return [low, high]
    return found[:: math.ceil(len(found) / MOST)]


def linear_ticks(values: Sequence[float], unit: str) -> list[float]:
    """Round ticks from 0 to the largest of `values`, for a linear axis in `bytes` or `seconds`."""
    top = max((value for value in values if math.isfinite(value)), default=0.0)
    if top <= 0:
        return [0.0]
    least = top / _LINEAR
    if unit == "bytes":
        step = 2.0 ** math.ceil(math.log2(least))
    else:
        power = 10.0 ** math.floor(math.log10(least))
        step = next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)
    return [count * step for count in range(math.floor(top / step) + 1)]


def ratio_ticks(low: float, high: float) -> list[float]:
    """Ticks for ratios from `low` to `high`, which lie on both sides of 1: 1, and even ones below a factor of 4."""
    if high / low >= _EVEN_BELOW:
        return ticks(low, high, "rate")
    least = (high - low) / (FEWEST + 2)
    power = 10.0 ** math.floor(math.log10(least))
    step = next((factor * power for factor in (1, 2, 5) if factor * power >= least), 10 * power)
    return [count * step for count in range(math.ceil(low / step), math.floor(high / step) + 1)]


def tick_label(value: float, unit: str) -> str:
    """`value` as the label of a tick, without trailing zeros: `256 MiB`, `1.5 GiB`, `20k`, `5 ms`."""
    if unit == "count":
        return f"{value:g}"
    show = {"bytes": format_bytes, "rate": format_rate, "seconds": format_seconds}[unit]
    number, gap, name = show(value).partition(" ")
    suffix = number[-1] if number[-1].isalpha() else ""
    digits = number.removesuffix(suffix)
    if "." in digits and "e" not in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits}{suffix}{gap}{name}"
