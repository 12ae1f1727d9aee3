"""Round numbers along a logarithmic axis, with their units."""

from __future__ import annotations

import math

from reports.text.units import format_bytes, format_rate, format_seconds

_FEWEST = 4
_MOST = 9
_STEPS = {
    10: ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), tuple(n / 10 for n in range(10, 100, 5))),
    2: ((1,), (1, 1.5), (1, 1.25, 1.5, 1.75), tuple(n / 16 for n in range(16, 32))),
}


def ticks(low: float, high: float, unit: str) -> list[float]:
    """At least two and at most nine values from `low` to `high`, round in `unit`: `bytes`, `rate`, `seconds`, `count`.

    Bytes and counts are round as powers of two, rates and seconds as powers of ten. Ends that no round number lies
    between are given themselves.
    """
    base = 2 if unit in ("bytes", "count") else 10
    first, last = math.floor(math.log(low, base)), math.ceil(math.log(high, base))
    for steps in _STEPS[base]:
        found = [
            step * float(base) ** power
            for power in range(first, last + 1)
            for step in steps
            if low <= step * float(base) ** power <= high
        ]
        if len(found) >= _FEWEST:
            break
    if len(found) < 2:
        return [low, high]
    return found[:: math.ceil(len(found) / _MOST)]


def tick_label(value: float, unit: str) -> str:
    """`value` as it stands at a tick: `256 MiB`, `1.5 GiB`, `20k`, `5 ms`; without the noughts that tables need."""
    if unit == "count":
        return f"{value:g}"
    show = {"bytes": format_bytes, "rate": format_rate, "seconds": format_seconds}[unit]
    number, gap, name = show(value).partition(" ")
    suffix = number[-1] if number[-1].isalpha() else ""
    digits = number.removesuffix(suffix)
    if "." in digits and "e" not in digits:
        digits = digits.rstrip("0").rstrip(".")
    return f"{digits}{suffix}{gap}{name}"
