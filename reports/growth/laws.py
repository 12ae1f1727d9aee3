"""Scaling laws of a run: which curves are fitted, and what the fits say in words.

A curve is one model in one mode along `agents` or `seq_len`, all else equal. Only points with status `ok` count. A
curve's memory comes from one field, the one known at most sizes; ties go to the first of `MEMORY_FIELDS`. Its time is
the update time.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.arrange.pivot import AxisValue, Row, make_pivot, row_name
from reports.growth.fit import CONSTANT_WITHIN, fit_curve
from reports.growth.results import Fit, Refusal, Slopes
from reports.records.columns import COLUMNS
from reports.records.record import XLA_PLAN, Record, is_tuned
from reports.text.section import shown
from reports.text.units import format_bytes, format_rate, format_seconds

QUANTITIES = ("memory", "time")
ALONG = {"agents": ("agent", "agents"), "seq_len": ("timestep", "timesteps")}
"""The axes, each with the singular and plural of what it counts."""
TIME_FIELD = "update_seconds"
MEMORY_FIELDS = ("device_peak_bytes", "xla_peak_bytes", "memory_bytes")
"""The fields that memory can be read from, in order of preference."""
LARGE_MEMORY_BYTES = 80 * 10**9
"""The memory of a large accelerator, 80 GB: each memory law is extrapolated to the size that reaches it."""

_APART = ("run_id", "scenario", "device", "model", "mode")
"""Fields in which each value keeps a law of its own in `fullest_laws`."""
_FAR = 1000.0
"""How far to extrapolate at most, as a multiple of the largest size."""
_SURE = 0.1
"""The largest RMS error of a fit that is extrapolated."""
_LEAST_PERCENT = 0.1
_TUNED = "gradient groups or segments are chosen by size (auto)"
_ABOUT_LINEAR = (0.9, 1.1)


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
    pieces: Mapping[int, tuple[int | None, int | None]]
    """Gradient groups and segment length (timesteps) by size; None is unknown."""
    unmeasured: Mapping[int, str]
    """Sizes without a value, with the status of the point (`unknown` if it succeeded)."""
    lower_bound: bool
    """True if the memory is XLA's plan and XLA does not see all of it."""
    fit: Fit | Slopes | Refusal

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
        """The size at which the memory reaches `LARGE_MEMORY_BYTES`.

        None if that lies within the fitted sizes or too far beyond, or if the RMS error of the fit is above 10 %.
        """
        if self.quantity != "memory" or not isinstance(self.fit, Fit) or self.fit.error > _SURE:
            return None
        size, largest = self.fit.size_where(LARGE_MEMORY_BYTES), self.fit.sizes[-1]
        return round(size) if size is not None and largest < size <= _FAR * largest else None


def laws(records: Sequence[Record], along: str, *, also: Sequence[str] = ()) -> list[Law]:
    """The laws of all curves of `records` along one axis, memory before time; empty if there is only one size.

    Args:
        records: of one run, or of several that `also` distinguishes.
        along: `agents` or `seq_len`.
        also: fields that separate curves in addition to those of a point.
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
    """One law per run, scenario, device, model, mode and quantity: the one with the most sizes; ties go to the last."""
    best: dict[tuple[AxisValue, ...], Law] = {}
    for law in found:
        key = (*(getattr(law.record, name) for name in _APART), law.quantity)
        if key not in best or len(law.values) >= len(best[key].values):
            best[key] = law
    return list(best.values())


def in_words(law: Law) -> str:
    """One line: the quantity, how it grows, and the consequences."""
    what = "update time" if law.quantity == "time" else "memory"
    if law.quantity == "memory" and law.field:
        what += f" ({COLUMNS[law.field].short}{', lower bound' if law.lower_bound else ''})"
    return "; ".join([f"{what} {_growth(law)}", *_consequences(law), *_pieces(law), *_missing(law)])


def _law(row: Row, name: str, quantity: str, along: str) -> Law:
    fields = [TIME_FIELD] if quantity == "time" else list(MEMORY_FIELDS)
    read = {field: _values(row, field) for field in fields}
    # max returns the first of several maxima.
    field = max((name for name in fields if read[name]), key=lambda name: len(read[name]), default="")
    values = read.get(field, {})
    unmeasured = {
        size: "unknown" if point.measured else point.outcome.status
        for size, point in sorted(row.points.items())
        if size not in values
    }
    records = [record for point in row.points.values() for record in (point.measured or point.records)]
    bound = field == "xla_peak_bytes" and any(record.xla_bound == "lower" for record in records)
    fit = Refusal(_TUNED) if is_tuned(records[0]) else fit_curve(values, exact=bool(field) and COLUMNS[field].exact)
    pieces = {
        size: (record.learn_groups, record.segment_timesteps)
        for size, point in sorted(row.points.items())
        if size in values
        for record in point.measured[:1]
    }
    return Law(name, records[0], quantity, field, along, values, pieces, unmeasured, bound, fit)


def _values(row: Row, field: str) -> dict[int, tuple[float, ...]]:
    found = {}
    for size, point in sorted(row.points.items()):
        # Where nothing was measured, XLA's plan stands in, which has a field of its own.
        own = [r for r in point.measured if field != "memory_bytes" or r.memory_source != XLA_PLAN]
        known = tuple(float(value) for record in own if (value := getattr(record, field)) is not None)
        if known:
            found[size] = known
    return found


def _growth(law: Law) -> str:
    fit = law.fit
    if isinstance(fit, Refusal):
        return f"is not fitted: {fit.reason}"
    if isinstance(fit, Slopes):
        return f"{_slopes(law, fit)} ({fit.reason})"
    ends = [f"{end:.2f}" for end in (fit.low, fit.high) if end is not None]
    # Identical repeats, such as XLA's plan, give no confidence interval.
    interval = f" ({' to '.join(ends)})" if len(set(ends)) == 2 else ""
    if fit.exponent == 0:
        return f"does not change with {law.along}{interval}{_left_out(law, fit)}"
    form = f", {fit.form}" if fit.form else ""
    verb = "grows" if fit.exponent > 0 else "falls"
    power = f"{law.along} and {law.along}^2" if fit.linear_scale else f"{law.along}^{fit.exponent:.2f}"
    return f"{verb} as {power}{interval}{form}{_left_out(law, fit)}"


def _slopes(law: Law, fit: Slopes) -> str:
    """The slopes between neighbouring sizes; an initial plateau is summarised as one."""
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
    """The smallest fitted size and the medians below it; empty if all sizes were fitted."""
    below = [size for size in law.values if size < fit.sizes[0]]
    if not below:
        return ""
    medians = [statistics.median(law.values[size]) for size in below]
    ends = dict.fromkeys(_shown(law, value) for value in (min(medians), max(medians)))
    sizes = dict.fromkeys(str(size) for size in (below[0], below[-1]))
    return f", fitted from {fit.sizes[0]} {ALONG[law.along][1]} ({' to '.join(ends)} at {' to '.join(sizes)})"


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
            parts.append(f"{text} per additional {one} and environment at {size}")
    if isinstance(law.fit, Fit):
        parts.append(_error(law.fit))
    if law.reaches is not None and isinstance(law.fit, Fit):
        sizes = law.fit.sizes
        parts.append(f"reaches 80 GB at about {_about(law.reaches)} {many} (extrapolated from {sizes[0]}-{sizes[-1]})")
    return parts


def _about(size: int) -> str:
    """A size to three digits: an extrapolation is not more precise."""
    return format_rate(size) if size >= 10**6 else f"{float(f'{size:.3g}'):.0f}"


def _pieces(law: Law) -> list[str]:
    """Gradient groups and segment lengths, if they differ by size: then no single law may hold."""
    if law.quantity != "memory":
        return []
    words = []
    groups = [groups for groups, _ in law.pieces.values()]
    if len(set(groups)) > 1:
        words.append(f"gradient groups: {', '.join(map(shown, groups))}")
    segments = {size: segment for size, (_, segment) in law.pieces.items()}
    if len({None if segment == _timesteps(law, size) else segment for size, segment in segments.items()}) > 1:
        words.append(f"segment length: {', '.join(map(shown, segments.values()))}")
    return words


def _timesteps(law: Law, size: int) -> int:
    """The timesteps of a rollout at `size`."""
    return size if law.along == "seq_len" else law.record.seq_len


def _missing(law: Law) -> list[str]:
    if not law.unmeasured:
        return []
    return ["no result: " + ", ".join(f"{size} ({shown(status)})" for size, status in law.unmeasured.items())]


def _error(fit: Fit) -> str:
    percent = 100 * fit.error
    return "RMS error under 0.1%" if percent < _LEAST_PERCENT else f"RMS error {percent:.2g}%"
