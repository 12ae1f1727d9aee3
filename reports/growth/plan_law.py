"""The law of memory that XLA's plan gives: at every size that was measured, and at those that were only planned.

The plan leaves out what the process needs besides XLA's buffers (threads, the environments' Python objects), about the
same at every size: 10 to 17 MB on a CPU. That constant is taken from the smallest measured size and added to the plan,
which must then agree with every larger one. The fit is of the plan at all sizes, never of plans and measurements mixed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from reports.arrange.pivot import Repeats
from reports.growth.fit import fit_curve
from reports.growth.results import Fit
from reports.records.record import XLA_PLAN, Record, has_plan

AGREES_WITHIN = 0.1
"""How far the plan and its constant may be from what was measured, if XLA does not see all that programs allocate."""


@dataclass(frozen=True, slots=True)
class PlanLaw:
    """The fit of the plan plus a constant, in bytes."""

    fit: Fit
    constant: float
    """What measured points need beyond the plan, added at every size; 0 if nothing was measured."""
    apart: float | None
    """The largest relative difference from what was measured, at other sizes than the smallest; None without any."""


def plan_law(points: Mapping[int, Repeats]) -> PlanLaw | str:
    """The law of the plans of a curve's points, or why there is none; empty if no size was only planned.

    The plan must be exact, or agree with what was measured: at two sizes at least, within `AGREES_WITHIN`.
    """
    if not any(point.planned for point in points.values()):
        return ""
    plans = {size: found for size, point in sorted(points.items()) if (found := _planned(point.records))}
    measured = {size: value for size, point in sorted(points.items()) if (value := _measured(point)) and size in plans}
    smallest = min(measured, default=0)
    constant = max(measured[smallest] - plans[smallest], 0.0) if measured else 0.0
    others = [abs((plans[size] + constant) / value - 1) for size, value in measured.items() if size != smallest]
    apart = max(others, default=None)
    if any(record.xla_bound == "lower" for point in points.values() for record in point.records):
        if apart is None:
            return (
                "XLA's plan is a lower bound, and nothing tells how far it is off: fewer than two sizes were measured"
            )
        if apart > AGREES_WITHIN:
            return f"XLA's plan is a lower bound and differs from what was measured by up to {100 * apart:.0f}%"
    values = {size: [plan + constant] for size, plan in plans.items()}
    fit = fit_curve(values, exact=True)
    if not isinstance(fit, Fit):  # padding to whole blocks is no law: between its steps the plan is as if it had noise
        fit = fit_curve(values)
    return PlanLaw(fit, constant, apart) if isinstance(fit, Fit) else f"XLA's plan has no law: {fit.reason}"


def _measured(point: Repeats) -> float | None:
    found = [r.memory_bytes for r in point.measured if r.memory_bytes is not None and r.memory_source != XLA_PLAN]
    return statistics.median(found) if found else None


def _planned(records: tuple[Record, ...]) -> float | None:
    """The plan of a point, if all of its programs were compiled."""
    found = [record.xla_peak_bytes for record in records if record.xla_peak_bytes is not None and has_plan(record)]
    return statistics.median(found) if found else None
