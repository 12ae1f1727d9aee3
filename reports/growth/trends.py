"""The fitted course of a curve, as a chart draws it: a line, its band, and how it grows in words."""

from __future__ import annotations

from dataclasses import dataclass

from reports.arrange.curves import Curve
from reports.growth.fit import Fit, fit_curve
from reports.records.columns import COLUMNS, Column

_STEPS = 40
"""Places along a line: enough that it looks smooth on logarithmic axes."""
_UPDATE = COLUMNS["update_seconds"]
_STEPS_OF_AN_UPDATE = {"agent_steps_per_second": ("agents", "seq_len"), "env_steps_per_second": ("seq_len",)}
"""The axes along which the steps of an update grow in proportion."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A fit drawn: `values` at `sizes`, in the unit of the measure, between `low` and `high` where a band is known.

    It lies on the fitted sizes up to `measured_to`; what is beyond is extrapolated.
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    measured_to: int
    words: str


def trend_of(curve: Curve, measure: Column, axis: str, to: float) -> Trend | None:
    """The fit of `curve` from its first fitted size to `to` along `axis`, or None where there is no fit.

    A rate is not fitted itself: it is the steps of an update ÷ the fitted time of an update.
    """
    rate = measure.unit == "rate"
    values = curve.values(_UPDATE if rate else measure)
    fit = fit_curve(values, exact=not rate and measure.exact)
    if not isinstance(fit, Fit):
        return None
    first, last = fit.sizes[0], fit.sizes[-1]
    sizes = _spaced(first, max(last, to))
    line, band = [fit.at(size) for size in sizes], fit.band(sizes)
    low, high = band or ([], [])
    if rate:
        rates = curve.values(measure)
        if first not in rates:
            return None
        grows = axis in _STEPS_OF_AN_UPDATE[measure.name]
        unit = rates[first][0] * values[first][0] / (first if grows else 1)
        steps = [unit * (size if grows else 1) for size in sizes]
        line, low, high = (_quotients(steps, seconds) for seconds in (line, high, low))
    words = _words(fit, axis, rate) + ("" if first == min(values) else f", from {first} on")
    return Trend(tuple(sizes), tuple(line), tuple(low), tuple(high), last, words)


def _spaced(first: float, last: float) -> list[float]:
    """Places from `first` to `last`, both among them, evenly on a logarithmic axis."""
    return [*(first * (last / first) ** (step / _STEPS) for step in range(_STEPS)), last]


def _quotients(steps: list[float], seconds: list[float]) -> list[float]:
    return [count / time for count, time in zip(steps, seconds, strict=False)]


def _words(fit: Fit, axis: str, rate: bool) -> str:
    """`as agents^1.02 (1.00 to 1.04), linear`."""
    of = "the time of an update grows " if rate else ""
    if fit.exponent == 0:
        return f"{of}not at all" if rate else "not at all"
    interval = "" if fit.low is None or fit.high is None else f" ({fit.low:.2f} to {fit.high:.2f})"
    power = f"{axis} and {axis}^2" if fit.linear_scale else f"{axis}^{fit.exponent:.2f}"
    return f"{of}as {power}{interval}{f', {fit.form}' if fit.form else ''}"
