"""Which curves of a run are fitted, and what the fits say in words.

A curve is one model in one mode along `agents` or along `seq_len`, everything else equal. Only points that ended well
count. Memory is read from one field for a whole curve, the one known at most sizes; of equals the first of
`MEMORY_FIELDS`. Time is that of an update.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.arrange.pivot import AxisValue, Row, make_pivot, row_name
from reports.growth.fit import CONSTANT_WITHIN, Fit, Refusal, Slopes, fit_curve
from reports.records.columns import COLUMNS
from reports.records.record import Record
from reports.text.section import shown
from reports.text.units import format_bytes, format_rate, format_seconds

QUANTITIES = ("memory", "time")
ALONG = {"agents": ("agent", "agents"), "seq_len": ("timestep", "timesteps")}
"""The axes, each with what is counted along it."""
TIME_FIELD = "update_seconds"
MEMORY_FIELDS = ("device_peak_bytes", "xla_peak_bytes", "host_peak_rise_bytes")
"""What memory is read from: the one known at most sizes, of equals the first."""
LARGE_MEMORY_BYTES = 80 * 10**9
"""The memory for which the size that reaches it is extrapolated: 80 GB, a large accelerator's."""

_APART = ("run_id", "scenario", "device", "model", "mode")
"""Curves that differ in one of these are never left out for another."""
_FAR = 1000.0
"""Times the largest size; nothing is said of what lies beyond."""
_SURE = 0.1
"""A fit that is further off than this is not extrapolated."""
_LEAST_PERCENT = 0.1
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
    pieces: Mapping[int, tuple[int | None, int | None]]
    """By size, in how many groups of environments it was learned, and in segments of how many timesteps; None is not
    known, and of segments also all timesteps at once."""
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
        return self.fit.slope_at(size) / self.record.envs, size

    @property
    def reaches(self) -> int | None:
        """The size at which the memory is `LARGE_MEMORY_BYTES`.

        None where it is reached before or far beyond, or where the fit is off by more than a tenth.
        """
        if self.quantity != "memory" or not isinstance(self.fit, Fit) or self.fit.error > _SURE:
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


def fullest_laws(found: Sequence[Law]) -> list[Law]:
    """One law for every run, scenario, device, model, mode and quantity: that of most sizes, the last of equals."""
    best: dict[tuple[AxisValue, ...], Law] = {}
    for law in found:
        key = (*(getattr(law.record, name) for name in _APART), law.quantity)
        if key not in best or len(law.values) >= len(best[key].values):
            best[key] = law
    return list(best.values())


def in_words(law: Law) -> str:
    """One line: what was read, how it grows, and what follows."""
    what = TIME_WORDS
    if law.quantity == "memory":
        what = f"memory ({COLUMNS[law.field].short}{_bound(law)})" if law.field else "memory"
    return "; ".join([f"{what} {_growth(law)}", *_consequences(law), *_pieces(law), *_missing(law)])


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
    fit = fit_curve(values, exact=bool(field) and COLUMNS[field].exact)
    pieces = {
        size: (record.learn_groups, record.segment_timesteps if record.segment_timesteps != record.seq_len else None)
        for size, point in sorted(row.points.items())
        if size in values
        for record in point.measured[:1]
    }
    return Law(name, records[0], quantity, field, along, values, pieces, unmeasured, bound, fit)


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
        return f"{_slopes(law, fit)} ({fit.reason})"
    ends = [f"{end:.2f}" for end in (fit.low, fit.high) if end is not None]
    # Repeats that are all the same, as XLA's plan is, say nothing of how sure the exponent is.
    interval = f" ({' to '.join(ends)})" if len(set(ends)) == 2 else ""
    if fit.exponent == 0:
        return f"does not change with {law.along}{interval}{_left_out(law, fit)}"
    form = f", {fit.form}" if fit.form else ""
    verb = "grows" if fit.exponent > 0 else "falls"
    power = f"{law.along} and {law.along}^2" if fit.linear_scale else f"{law.along}^{fit.exponent:.2f}"
    return f"{verb} as {power}{interval}{form}{_left_out(law, fit)}"


def _slopes(law: Law, fit: Slopes) -> str:
    """The slope between every two neighbours; those of a plateau at the beginning in one."""
    medians = [statistics.median(law.values[size]) for size in fit.sizes]
    flat = 0
    while flat < len(fit.slopes) and abs(medians[flat + 1] / medians[0] - 1) < CONSTANT_WITHIN:
        flat += 1
    start = flat if flat > 1 else 0
    slopes = [
        f"{slope:.2f} from {first} to {second}"
        for slope, first, second in list(zip(fit.slopes, fit.sizes, fit.sizes[1:], strict=False))[start:]
    ]
    if not start:
        return f"has local slopes of {', '.join(slopes)}"
    plateau = f"does not change from {fit.sizes[0]} to {fit.sizes[start]}"
    return f"{plateau}, then has local slopes of {', '.join(slopes)}" if slopes else plateau


def _left_out(law: Law, fit: Fit) -> str:
    """From where on the fit holds, and the medians below, where it is not of all sizes."""
    below = [size for size in law.values if size < fit.sizes[0]]
    if not below:
        return ""
    medians = [statistics.median(law.values[size]) for size in below]
    ends = dict.fromkeys(_shown(law, value) for value in (min(medians), max(medians)))
    sizes = dict.fromkeys(str(size) for size in (below[0], below[-1]))
    return f", from {fit.sizes[0]} {ALONG[law.along][1]} on ({' to '.join(ends)} at {' to '.join(sizes)})"


def _shown(law: Law, value: float) -> str:
    return format_bytes(value) if law.quantity == "memory" else format_seconds(value)


def _consequences(law: Law) -> list[str]:
    parts = []
    one, many = ALONG[law.along]
    if law.per_size is not None and isinstance(law.fit, Fit):
        cost, size = law.per_size
        text = _shown(law, cost)
        if _ABOUT_LINEAR[0] <= law.fit.exponent <= _ABOUT_LINEAR[1]:
            parts.append(f"{text} per {one} and environment")
        else:
            parts.append(f"{text} per further {one} and environment at {size}")
    if isinstance(law.fit, Fit):
        parts.append(_error(law.fit))
    if law.reaches is not None and isinstance(law.fit, Fit):
        sizes = law.fit.sizes
        parts.append(f"extrapolated from {sizes[0]}-{sizes[-1]}: reaches 80 GB at about {_about(law.reaches)} {many}")
    return parts


def _about(size: int) -> str:
    """Three digits of a size: an extrapolation is no exacter."""
    return format_rate(size) if size >= 10**6 else f"{float(f'{size:.3g}'):.0f}"


def _pieces(law: Law) -> list[str]:
    """How learning was cut into pieces, where that differs by size: then one law can hardly hold for all."""
    if law.quantity != "memory" or len(set(law.pieces.values())) < 2:
        return []
    groups, segments = ([piece[which] for piece in law.pieces.values()] for which in (0, 1))
    words = []
    if len(set(groups)) > 1:
        words.append(f"{', '.join(map(shown, groups))} groups of environments")
    if len(set(segments)) > 1:
        lengths = ("all" if length is None else str(length) for length in segments)
        words.append(f"segments of {', '.join(lengths)} timesteps")
    return [f"learned in {' and '.join(words)} at these sizes"]


def _missing(law: Law) -> list[str]:
    if not law.unmeasured:
        return []
    return ["not counted: " + ", ".join(f"{size} ({shown(status)})" for size, status in law.unmeasured.items())]


def _error(fit: Fit) -> str:
    percent = 100 * fit.error
    return "off by under 0.1%" if percent < _LEAST_PERCENT else f"off by {percent:.2g}%"
