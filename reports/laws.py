"""Which curves of a run are fitted, and what the fits say in words.

A curve is one model in one mode along `agents` or along `seq_len`, everything else equal. Only points that ended well
count. Memory is read from one field for a whole curve, the one known at most sizes; of equals the first of
`MEMORY_FIELDS`. Time is that of an update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.pivot import AxisValue, Row, make_pivot
from reports.record import Record
from reports.scaling import SIZES_FOR_A_FIT, Fit, Refusal, Slopes, fit_curve
from reports.section import shown
from reports.summary import row_name
from reports.units import format_bytes, format_number, format_rate, format_seconds

QUANTITIES = ("memory", "time")
ALONG = {"agents": ("agent", "agents"), "seq_len": ("timestep", "timesteps")}
"""The axes, each with what is counted along it."""
MEMORY_FIELDS = {
    "device_peak_bytes": "the device allocator's peak",
    "xla_peak_bytes": "XLA's plan",
    "host_peak_rise_bytes": "the rise of resident memory",
}
TIME_FIELD = "update_seconds"
LARGE_MEMORY_BYTES = 80 * 10**9
"""The memory for which the size that reaches it is extrapolated: 80 GB, a large accelerator's."""

_APART = ("run_id", "scenario", "device", "model", "mode")
"""Curves that differ in one of these are never left out for another."""
_FAR = 1000.0
"""Times the largest size; nothing is said of what lies beyond."""
_ABOUT_LINEAR = (0.9, 1.1)


@dataclass(frozen=True, slots=True)
class Law:
    """How memory or time of one model and mode grows along one axis."""

    name: str
    """Model, mode and what else tells the curve apart."""
    record: Record
    """One of the curve's records: all agree in everything but the size along the axis and the repeat."""
    quantity: str
    field: str
    """What the values are read from; empty where no point has any of the fields that could be."""
    along: str
    values: Mapping[int, tuple[float, ...]]
    """The repeats that ended well, by size; bytes or seconds."""
    unmeasured: Mapping[int, str]
    """Sizes that were tried and gave no value, with the status of the point (`unknown` where it ended well)."""
    lower_bound: bool
    """True where the memory is XLA's plan of programs of which it does not see everything."""
    fit: Fit | Slopes | Refusal

    @property
    def per_size(self) -> tuple[float, int] | None:
        """What one more agent (or timestep) costs per environment, and the size where it does: the largest measured.

        The slope of the fit there over the number of environments. None without a fit, or where nothing grows.
        """
        if not isinstance(self.fit, Fit) or self.fit.exponent <= 0 or not self.record.envs:
            return None
        size = self.fit.sizes[-1]
        return self.fit.scale * self.fit.exponent * size ** (self.fit.exponent - 1) / self.record.envs, size

    @property
    def reaches(self) -> int | None:
        """The size at which the memory is `LARGE_MEMORY_BYTES`; None where it is reached before or far beyond."""
        if self.quantity != "memory" or not isinstance(self.fit, Fit):
            return None
        size, largest = self.fit.size_where(LARGE_MEMORY_BYTES), self.fit.sizes[-1]
        return round(size) if size is not None and largest < size <= _FAR * largest else None


def laws(records: Sequence[Record], along: str, *, also: Sequence[str] = ()) -> list[Law]:
    """Every curve of `records` along one axis, memory then time; none where there is one size in all.

    Args:
        records: of one run, or of several that `also` tells apart.
        along: `agents` or `seq_len`.
        also: fields that tell curves apart besides those of a point.
    """
    pivot = make_pivot([record for record in records if record.status != "planned"], across=along, also=also)
    if len(pivot.sizes) < 2:
        return []
    return [
        _law(row, row_name(pivot, row), quantity, along)
        for quantity in QUANTITIES
        for row in pivot.rows
        if len(row.points) > 1 or len(pivot.rows) == 1
    ]


def fullest(found: Sequence[Law]) -> list[Law]:
    """One law for every run, scenario, device, model, mode and quantity: that of most sizes, the last of equals."""
    best: dict[tuple[AxisValue, ...], Law] = {}
    for law in found:
        key = (*(getattr(law.record, name) for name in _APART), law.quantity)
        if key not in best or len(law.values) >= len(best[key].values):
            best[key] = law
    return list(best.values())


def in_words(law: Law) -> str:
    """One line: what was read, how it grows, and what follows."""
    source = MEMORY_FIELDS.get(law.field, "")
    what = TIME_WORDS if law.quantity == "time" else f"memory ({source}{_bound(law)})" if source else "memory"
    return "; ".join([f"{what} {_growth(law)}", *_consequences(law), *_missing(law)])


TIME_WORDS = "time of an update"


def _law(row: Row, name: str, quantity: str, along: str) -> Law:
    fields = [TIME_FIELD] if quantity == "time" else list(MEMORY_FIELDS)
    read = {field: _values(row, field) for field in fields}
    # max takes the first of equals.
    field = max((name for name in fields if read[name]), key=lambda name: len(read[name]), default="")
    values = read.get(field, {})
    unmeasured = {
        size: "unknown" if point.measured else point.outcome.status
        for size, point in sorted(row.points.items())
        if size not in values
    }
    records = [record for point in row.points.values() for record in (point.measured or point.records)]
    bound = field == "xla_peak_bytes" and any(record.xla_bound == "lower" for record in records)
    return Law(name, records[0], quantity, field, along, values, unmeasured, bound, fit_curve(values))


def _values(row: Row, field: str) -> dict[int, tuple[float, ...]]:
    found = {}
    for size, point in sorted(row.points.items()):
        known = tuple(float(value) for record in point.measured if (value := getattr(record, field)) is not None)
        if known:
            found[size] = known
    return found


def _bound(law: Law) -> str:
    return ", a lower bound" if law.lower_bound else ""


def _growth(law: Law) -> str:
    fit = law.fit
    if isinstance(fit, Refusal):
        return f"has no fit: {fit.reason}"
    if isinstance(fit, Slopes):
        slopes = ", ".join(
            f"{slope:.2f} from {first} to {second}"
            for slope, first, second in zip(fit.slopes, fit.sizes, fit.sizes[1:], strict=False)
        )
        return f"has local slopes of {slopes} (a fit needs {SIZES_FOR_A_FIT} sizes)"
    ends = [f"{end:.2f}" for end in (fit.low, fit.high) if end is not None]
    # Repeats that are all the same, as XLA's plan is, say nothing of how sure the exponent is.
    interval = f" ({' to '.join(ends)})" if len(set(ends)) == 2 else ""
    if fit.exponent == 0:
        return f"does not change with {law.along}{interval}"
    form = f", {fit.form}" if fit.form else ""
    verb = "grows" if fit.exponent > 0 else "falls"
    return f"{verb} as {law.along}^{fit.exponent:.2f}{interval}{form}"


def _consequences(law: Law) -> list[str]:
    parts = []
    one, many = ALONG[law.along]
    if law.per_size is not None and isinstance(law.fit, Fit):
        cost, size = law.per_size
        text = format_bytes(cost) if law.quantity == "memory" else format_seconds(cost)
        if _ABOUT_LINEAR[0] <= law.fit.exponent <= _ABOUT_LINEAR[1]:
            parts.append(f"{text} per {one} and environment")
        else:
            parts.append(f"{text} per further {one} and environment at {size}")
    if law.reaches is not None and isinstance(law.fit, Fit):
        sizes = law.fit.sizes
        parts.append(f"extrapolated from {sizes[0]}-{sizes[-1]}: reaches 80 GB at about {_about(law.reaches)} {many}")
    return parts


def _about(size: int) -> str:
    """Three digits of a size: an extrapolation is no exacter."""
    return format_rate(size) if size >= 10**6 else f"{float(f'{size:.3g}'):.0f}"


def _missing(law: Law) -> list[str]:
    if not law.unmeasured:
        return []
    return ["not counted: " + ", ".join(f"{size} ({shown(status)})" for size, status in law.unmeasured.items())]


def law_error(law: Law) -> str:
    """How far the fit is off, for a detailed report; empty without a fit."""
    return f"off by {format_number(100 * law.fit.error)} %" if isinstance(law.fit, Fit) else ""
