"""The trend of a curve as a chart draws it: the fitted line, its band, and its growth in words."""

from __future__ import annotations

from dataclasses import dataclass

from reports.arrange.curves import Curve
from reports.growth.laws import law_of, what_differs
from reports.growth.plan_law import PlanLaw, plan_law
from reports.growth.results import Fit, Refusal, Slopes
from reports.records.columns import COLUMNS, Column

_STEPS = 40
"""Points along a line, enough to look smooth on logarithmic axes."""
_UPDATE = COLUMNS["update_seconds"]
_STEPS_OF_AN_UPDATE = {"agent_steps_per_second": ("agents", "seq_len"), "env_steps_per_second": ("seq_len",)}
"""The axes that the number of steps per update is proportional to."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A fitted line: `values` at `sizes` in the unit of the measure; `low` and `high` bound its band, if there is one.

    Beyond `measured_to` it is extrapolated.
    """

    sizes: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    measured_to: int
    words: str


def trend_of(curve: Curve, measure: Column, axis: str, to: float) -> Trend | None:
    """The fit of `curve` from its first fitted size to `to` along `axis`; None without a fit.

    A rate is not fitted directly: it is steps per update / fitted update time.
    """
    rate = measure.unit == "rate"
    values = curve.values(_UPDATE if rate else measure)
    plan = plan_law(curve.points) if measure.name == "memory_bytes" else ""
    if isinstance(plan, PlanLaw) and not what_differs(curve.points):
        fit: Fit | Slopes | Refusal = plan.fit
    else:
        fit = law_of(values, curve.points, exact=not rate and measure.exact)
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
    words = f"update time: {fit.word}" if rate else fit.word
    words += " by XLA's plan" if isinstance(plan, PlanLaw) and fit is plan.fit else ""
    return Trend(tuple(sizes), tuple(line), tuple(low), tuple(high), last, words)


def _spaced(first: float, last: float) -> list[float]:
    """Sizes from `first` to `last`, both included, evenly spaced on a logarithmic axis."""
    return [*(first * (last / first) ** (step / _STEPS) for step in range(_STEPS)), last]


def _quotients(steps: list[float], seconds: list[float]) -> list[float]:
    return [count / time for count, time in zip(steps, seconds, strict=False)]
