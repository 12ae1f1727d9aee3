"""The laws of a run: how memory and update time of every curve grow with a size.

A curve is one model in one mode along `agents` or `seq_len`, all else equal. Only points with status `ok` count. A
curve's memory comes from one field: the first of `MEMORY_FIELDS` known at most of its sizes. Its time is the update
time. A curve whose gradient groups or segment lengths differ by size has no law: its settings changed on the way.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.arrange.curves import memory_limits
from reports.arrange.pivot import AxisValue, Pivot, Repeats, Row, make_pivot, row_name
from reports.growth.fit import fit_curve, slopes_of
from reports.growth.plan_law import PlanLaw, plan_law
from reports.growth.results import Fit, Refusal, Slopes
from reports.records.columns import COLUMNS
from reports.records.record import XLA_PLAN, Record, is_tuned, was_run
from reports.text.section import shown

QUANTITIES = ("memory", "time")
ALONG = {"agents": ("agent", "agents"), "seq_len": ("timestep", "timesteps")}
"""The axes, each with the singular and plural of what it counts."""
TIME_FIELD = "update_seconds"
MEMORY_FIELDS = ("memory_bytes", "xla_peak_bytes")
"""The fields that memory can be read from, in order of preference: what was measured, then the plan."""
LARGE_MEMORY_BYTES = 80 * 10**9
"""The memory of a large accelerator, 80 GB: each memory law is extrapolated to the size that reaches it."""

_APART = ("run_id", "scenario", "device", "model", "mode")
"""Fields in which each value keeps a law of its own in `fullest_curves`."""
_FAR = 1000.0
"""How far to extrapolate at most, as a multiple of the largest size."""
_TUNED = "gradient groups or segments are chosen by size (auto)"


@dataclass(frozen=True, slots=True)
class Law:
    """How memory or time of one model and mode grows along one axis."""

    name: str
    """Model, mode and the values of all other axes that vary."""
    record: Record
    """Any record of the curve: they differ only in the size along the axis and in the repeat."""
    quantity: str
    field: str
    """The field that the values are read from; empty if no point has a value."""
    along: str
    values: Mapping[int, tuple[float, ...]]
    """The successful repeats by size, in bytes or seconds."""
    unmeasured: Mapping[int, str]
    """Sizes without a value, with the status of the point (`unknown` if it succeeded)."""
    lower_bound: bool
    """True if the memory is XLA's plan and XLA does not see all of it."""
    fit: Fit | Slopes | Refusal
    pieces: str
    """Gradient groups and segment lengths by size, in words, if they differ; else empty."""
    plan: PlanLaw | str
    """The law of XLA's plan, which `fit` is then, or why it has none; empty if nothing was only planned."""
    limit: tuple[int, float] | None
    """The memory limit in bytes, and the value of `field` at which it is reached; None if not known."""

    @property
    def per_size(self) -> tuple[float, int] | None:
        """The cost of one more agent (or timestep) per environment, and the size where it applies: the largest fitted.

        It is the slope of the fit there / the number of environments. None without a fit or without growth.
        """
        if not isinstance(self.fit, Fit) or self.fit.exponent <= 0 or not self.record.envs:
            return None
        size = self.fit.sizes[-1]
        return self.fit.slope_at(size) / self.record.envs, size

    @property
    def reaches(self) -> int | None:
        """The size at which the memory reaches `LARGE_MEMORY_BYTES`; None as for `reaches_limit`."""
        return self._reaches(LARGE_MEMORY_BYTES)

    @property
    def reaches_limit(self) -> int | None:
        """The size at which the memory reaches its limit.

        None without a fit, without a limit, or if the size lies within the measured ones or too far beyond.
        """
        return None if self.limit is None else self._reaches(self.limit[1])

    def _reaches(self, value: float) -> int | None:
        if self.quantity != "memory" or not isinstance(self.fit, Fit):
            return None
        size, largest = self.fit.size_where(value), max(self.values, default=self.fit.sizes[-1])
        return round(size) if size is not None and largest < size <= _FAR * largest else None


class CostCurve(NamedTuple):
    """What a law is fitted to: memory or time of one row of a pivot table."""

    pivot: Pivot
    row: Row
    quantity: str


def laws(records: Sequence[Record], along: str, *, also: Sequence[str] = ()) -> list[Law]:
    """The laws of all curves of `records` along one axis, memory before time; empty if there is only one size.

    The arguments are those of `curves_of`.
    """
    return list(map(law_of_curve, curves_of(records, along, also=also)))


def curves_of(records: Sequence[Record], along: str, *, also: Sequence[str] = ()) -> list[CostCurve]:
    """All curves of `records` along one axis, memory before time; empty if there is only one size.

    Args:
        records: of one run, or of several that `also` distinguishes.
        along: `agents` or `seq_len`.
        also: fields that separate curves in addition to those of a point.
    """
    tried = [record for record in records if was_run(record) or record.status == "planned"]
    pivot = make_pivot(tried, across=along, also=also)
    if len(pivot.sizes) < 2:
        return []
    return [
        CostCurve(pivot, row, quantity)
        for quantity in QUANTITIES
        for row in pivot.rows
        if (len(row.points) > 1 or len(pivot.rows) == 1) and (quantity == "memory" or _was_run(row))
    ]


def fullest_curves(found: Sequence[CostCurve]) -> list[CostCurve]:
    """One per run, scenario, device, model, mode and quantity: the one with the most sizes; ties go to the last."""
    best: dict[tuple[AxisValue, ...], tuple[int, CostCurve]] = {}
    for curve in found:
        records = [point.records[0] for point in curve.row.points.values()]
        key = (*(getattr(records[0], name) for name in _APART), curve.quantity)
        sizes = len(_read(curve.row, curve.quantity)[1])
        if key not in best or sizes >= best[key][0]:
            best[key] = sizes, curve
    return [curve for _, curve in best.values()]


def differing_pieces(points: Mapping[int, Repeats]) -> str:
    """Gradient groups and segment lengths by size, in words, if they differ; else empty.

    A segment that is the whole sequence at every size does not differ, however long the sequence is.
    """
    known = {size: (*point.measured, *point.planned) for size, point in sorted(points.items())}
    measured = {size: records[0] for size, records in known.items() if records}
    groups = [record.learn_groups for record in measured.values()]
    segments = [record.segment_timesteps for record in measured.values()]
    whole = [record.segment_timesteps == record.seq_len for record in measured.values()]
    words = []
    if len(set(groups)) > 1:
        words.append(f"gradient groups differ: {', '.join(map(shown, groups))}")
    if len(set(segments)) > 1 and not all(whole):
        words.append(f"segment lengths differ: {', '.join(map(shown, segments))}")
    return "; ".join(words)


def law_of(
    values: Mapping[int, Sequence[float]], points: Mapping[int, Repeats], *, exact: bool
) -> Fit | Slopes | Refusal:
    """The fit of the `values` of a curve's `points`; only slopes if its settings differ by size."""
    fit = fit_curve(values, exact=exact)
    reason = what_differs({size: point for size, point in points.items() if size in values})
    if not reason or isinstance(fit, Refusal):
        return fit
    return slopes_of({size: values[size] for size in fit.sizes}, reason)


def what_differs(points: Mapping[int, Repeats]) -> str:
    """Why the curve of `points` has no law with any number of sizes: its settings differ, or may differ, by size."""
    differing = differing_pieces(points)
    tuned = any(is_tuned(record) for point in points.values() for record in (*point.measured, *point.planned))
    return differing or (_TUNED if tuned else "")


def law_of_curve(curve: CostCurve) -> Law:
    """The law of one curve."""
    pivot, row, quantity = curve
    name, along = row_name(pivot, row), pivot.across
    field, values = _read(row, quantity)
    unmeasured = {
        size: "unknown" if point.measured else point.outcome.status
        for size, point in sorted(row.points.items())
        if size not in values and not point.planned
    }
    records = [record for point in row.points.values() for record in (point.measured or point.records)]
    ran = [record for record in records if was_run(record)]
    bound = field == "xla_peak_bytes" and any(record.xla_bound == "lower" for record in records)
    fit = law_of(values, row.points, exact=bool(field) and COLUMNS[field].exact)
    plan = plan_law(row.points) if quantity == "memory" else ""
    if isinstance(plan, PlanLaw):
        differing = what_differs(row.points)
        fit, plan = (fit, f"XLA's plan has no law: {differing}") if differing else (plan.fit, plan)
    measure = COLUMNS[field or "memory_bytes"]
    limits = memory_limits(ran, measure) if quantity == "memory" else []
    limit = limits[0] if limits else None
    pieces = what_differs({size: point for size, point in row.points.items() if size in values})
    return Law(name, (ran or records)[0], quantity, field, along, values, unmeasured, bound, fit, pieces, plan, limit)


def _read(row: Row, quantity: str) -> tuple[str, dict[int, tuple[float, ...]]]:
    """The field that a row's memory or time is read from, and its values by size; none if nothing is known."""
    fields = [TIME_FIELD] if quantity == "time" else list(MEMORY_FIELDS)
    read = {field: _values(row, field) for field in fields}
    # max returns the first of several maxima.
    field = max((name for name in fields if read[name]), key=lambda name: len(read[name]), default="")
    return field, read.get(field, {})


def _was_run(row: Row) -> bool:
    return any(was_run(record) for point in row.points.values() for record in point.records)


def _values(row: Row, field: str) -> dict[int, tuple[float, ...]]:
    found = {}
    for size, point in sorted(row.points.items()):
        # Where nothing was measured, XLA's plan stands in, which has a field of its own.
        own = [r for r in point.measured if field != "memory_bytes" or r.memory_source != XLA_PLAN]
        known = tuple(float(value) for record in own if (value := getattr(record, field)) is not None)
        if known:
            found[size] = known
    return found


def step(laws_of_one: Sequence[Law]) -> tuple[int, int] | None:
    """The two largest sizes at which all of `laws_of_one` that have two sizes are known; None if there are none."""
    known = [set(law.values) for law in laws_of_one if len(law.values) > 1]
    sizes = sorted(set.intersection(*known)) if known else []
    return (sizes[-2], sizes[-1]) if len(sizes) > 1 else None


def factor(law: Law, sizes: tuple[int, int]) -> float | None:
    """The ratio of the medians at two sizes; None if either is not known."""
    if not all(size in law.values for size in sizes):
        return None
    small, large = (statistics.median(law.values[size]) for size in sizes)
    return large / small if small else None
