"""What `scaleprof report` says: how memory and throughput grow, in tables and in words, and where each mode stopped.

Answers come first, details on demand. All of it is sections; who draws them does not matter here.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.laws import fullest, in_words, laws
from reports.pivot import Pivot, Point, Reading, Row, make_pivot, same_work
from reports.record import FIELD_NAMES, Record
from reports.run import Run
from reports.section import Cell, Column, Section, label, shown
from reports.selection import sort
from reports.summary import (
    SIZE_NAMES,
    among,
    axis_name,
    counts_section,
    diverged_section,
    environment_share_section,
    failures_section,
    matches_section,
    measure_section,
    need_of,
    rate_section,
    row_name,
)
from reports.units import UNKNOWN, format_bytes, format_factor, format_number, format_rate, format_seconds

TABLE_MEMORY = {
    "device_peak_bytes": "device allocator",
    "host_peak_rise_bytes": "rise of resident memory while it ran",
    "host_rss_peak_bytes": "resident memory, with Python and JAX",
    "xla_peak_bytes": "XLA's plan",
}
"""What the table of memory shows: the first of these that is known of any point, and of all rows the same."""

DETAILS = (
    "seq_len",
    "envs",
    "repeat",
    "status",
    "device_peak_bytes",
    "host_peak_rise_bytes",
    "host_rss_peak_bytes",
    "xla_peak_bytes",
    "update_seconds",
    "update_cv",
    "rollout_seconds",
    "learn_seconds",
    "env_seconds",
    "agent_steps_per_second",
    "env_steps_per_second",
    "first_update_seconds",
    "mean_reward",
    "episode_return",
)
"""The columns of a full report, those of them that are known of any record."""

_RUN = "run_id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a report shows besides the answers."""

    reference: str = ""
    """`model` or `model:mode` that factors refer to; empty: the first row."""
    full: bool = False
    """Every fit instead of the fullest of each mode, every failure, and a table of all repeats."""
    columns: tuple[str, ...] = ()
    """The columns of that table; where there are any, it is shown."""
    sort: str = ""
    """The column by which it is sorted, with `-` in front where descending; where there is one, it is shown."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a row ended: its largest size that ran, and the smallest that did not."""

    model: str
    """Model and mode in words."""
    name: str
    """The same with the row's value of every axis that varies."""
    across: str
    largest: int | None
    """The largest size with a result; None where there is none."""
    record: Record | None
    """How the smallest size without a result ended; None where all have one."""


def joined(
    runs: Sequence[Run], records: Sequence[Sequence[Record]] | None = None
) -> tuple[list[Record], tuple[str, ...]]:
    """The records of several runs as those of one, and the fields that tell them apart.

    Args:
        runs: at least one; of several, each record's run_id becomes the run's name (its path, where names are equal).
        records: those of each run to take instead of all.
    """
    parts = [run.records for run in runs] if records is None else list(records)
    if len(runs) == 1:
        return list(parts[0]), ()
    names = [run.name for run in runs]
    labels = [str(run.path) if names.count(run.name) > 1 else run.name for run in runs]
    return [
        dataclasses.replace(record, run_id=name) for name, part in zip(labels, parts, strict=True) for record in part
    ], (_RUN,)


def reference_row(records: Sequence[Record], reference: str = "") -> tuple[str, str]:
    """Model and mode that factors refer to: the first of `reference`, or of all where that is empty.

    Raises:
        ValueError: no record is of that model (and mode).
    """
    rows = list(dict.fromkeys((record.model, record.mode) for record in records)) or [("", "")]
    found = [row for row in rows if reference in (row[0], ":".join(row))] if reference else rows
    if not found:
        there = ", ".join(shown(":".join(part for part in row if part)) for row in rows)
        raise ValueError(f"'{shown(reference)}' was not measured: there is {there or 'nothing'}")
    return found[0]


def report_sections(records: Sequence[Record], also: Sequence[str], wanted: Wanted) -> list[Section]:
    """The whole report on `records` (of `joined`).

    Raises:
        ValueError: the reference was not measured, or there is no such column.
    """
    measured = [record for record in records if record.status != "planned"]
    if not measured:
        return [Section("", ("No point was tried yet.",))]
    pivots = [make_pivot(measured, across=across, also=also) for across in SIZE_NAMES]
    pivots = [pivot for pivot in pivots if len(pivot.sizes) > 1] or pivots[:1]
    reference = reference_row(measured, wanted.reference)
    sections: list[Section | None] = [_memory_table(pivot, reference) for pivot in pivots]
    sections += [_rate_table(pivot, reference) for pivot in pivots]
    sections += _growth(measured, also, full=wanted.full)
    sections.append(_stops_section(stops(pivots[0])))
    failures = failures_section(pivots[0])
    if wanted.full:
        sections.append(failures)
    elif failures is not None and len(failures.lines) > sum(stop.record is not None for stop in stops(pivots[0])):
        count = sum(bool(point.failed) for row in pivots[0].rows for point in row.points.values())
        words = (
            "1 point, or some of its repeats, was" if count == 1 else f"{count} points, or some of their repeats, were"
        )
        sections.append(Section("", (f"{words} not measured: --full says why.",)))
    sections += [matches_section(pivots[0], measured), environment_share_section(measured), diverged_section(measured)]
    if wanted.full or wanted.columns or wanted.sort:
        ordered = sort(measured, wanted.sort) if wanted.sort else measured
        sections.append(_details(ordered, also, wanted.columns))
    sections.append(counts_section(records, also))
    return [section for section in sections if section is not None]


def stops(pivot: Pivot) -> list[Stop]:
    """Where every row of `pivot` ended."""
    found = []
    for row in pivot.rows:
        ran = [size for size, point in row.points.items() if point.measured]
        failed = sorted(size for size, point in row.points.items() if point.failed and not point.measured)
        first = row.points[failed[0]].outcome if failed else None
        found.append(
            Stop(
                f"{shown(row.model)} {shown(row.mode)}",
                row_name(pivot, row),
                pivot.across,
                max(ran, default=None),
                first,
            )
        )
    return found


def memory_field(pivot: Pivot) -> str:
    """The first field of `TABLE_MEMORY` that is known of any point."""
    measured = [record for row in pivot.rows for point in row.points.values() for record in point.measured]
    known = (name for name in TABLE_MEMORY if any(getattr(record, name) is not None for record in measured))
    return next(known, "host_rss_peak_bytes")


def _memory_table(pivot: Pivot, reference: tuple[str, str]) -> Section:
    field = memory_field(pivot)
    read = reader(field)
    heading = f"Peak memory, by {SIZE_NAMES[pivot.across]}: {TABLE_MEMORY[field]} (* = lowest{among(pivot)}"
    details = _Details(pivot, reference, field, read, format_bytes)
    return measure_section(
        pivot,
        f"{heading}{details.explanation})",
        read,
        lambda reading: format_bytes(reading.value),
        lower_is_better=True,
        say_need=True,
        details=details,
    )


def _rate_table(pivot: Pivot, reference: tuple[str, str]) -> Section:
    field = "agent_steps_per_second"
    details = _Details(pivot, reference, field, reader(field), format_rate)
    return rate_section(pivot, more=details.explanation, details=details)


def reader(field: str) -> Callable[[Point], Reading | None]:
    """What gives the median of a field over the repeats of a point that ended well; None where it is not known."""

    def read(point: Point) -> Reading | None:
        known = _known(point, field)
        return Reading(statistics.median(known)) if known else None

    return read


def _known(point: Point, field: str) -> list[float]:
    return [value for record in point.measured if (value := getattr(record, field)) is not None]


class _Details:
    """Below a figure: how many times the reference's it is, and between which values its repeats lie."""

    def __init__(
        self,
        pivot: Pivot,
        reference: tuple[str, str],
        field: str,
        read: Callable[[Point], Reading | None],
        format_value: Callable[[float], str],
    ) -> None:
        self._pivot, self._reference = pivot, reference
        self._field, self._read, self._format = field, read, format_value
        self._work = same_work(pivot)
        cells = [(row, size, point) for row in pivot.rows for size, point in row.points.items() if read(point)]
        said = [line for cell in cells for line in self(*cell)]
        several = any(self._range(point) for _, _, point in cells)
        name = shown(" ".join(reference))
        self.explanation = f"; x = times {name}" if any(line.endswith("x") for line in said) else ""
        self.explanation += "; median of repeats, below it their lowest and highest" if several else ""

    def __call__(self, row: Row, size: int, point: Point) -> tuple[str, ...]:
        return tuple(line for line in (self._factor(row, size, point), self._range(point)) if line)

    def _factor(self, row: Row, size: int, point: Point) -> str:
        if (row.model, row.mode) == self._reference:
            return ""
        base = self._base(row)
        other = base.points.get(size) if base is not None else None
        mine, theirs = self._read(point), self._read(other) if other is not None else None
        return format_factor(mine.value / theirs.value) if mine and theirs and theirs.value else ""

    def _base(self, row: Row) -> Row | None:
        """The reference's row of equal work; of several the one most alike, none where two are equally so."""

        def alike(other: Row) -> int:
            return sum(mine == its for mine, its in zip(row.values, other.values, strict=True))

        axes = self._pivot.axes
        found = [
            other
            for other in self._pivot.rows
            if (other.model, other.mode) == self._reference
            and all(
                mine == its
                for axis, mine, its in zip(axes, row.values, other.values, strict=True)
                if axis in self._work
            )
        ]
        most = max(map(alike, found), default=0)
        best = [other for other in found if alike(other) == most]
        return best[0] if len(best) == 1 else None

    def _range(self, point: Point) -> str:
        known = _known(point, self._field)
        low, high = (self._format(value) for value in (min(known), max(known)))
        if low == high:
            return ""
        # One unit for both where it is the same: 305-320 MiB.
        number, _, unit = low.partition(" ")
        return f"{number}-{high}" if unit and high.endswith(f" {unit}") else f"{low}-{high}"


def _growth(records: Sequence[Record], also: Sequence[str], *, full: bool) -> list[Section | None]:
    sections: list[Section | None] = []
    for along, name in SIZE_NAMES.items():
        found = laws(records, along, also=also)
        chosen = found if full else fullest(found)
        lines = [f"  {law.name}: {in_words(law)}" for law in chosen]
        if lines:
            more = "" if len(chosen) == len(found) else f" (the fullest curves of {len(found)}; --full shows all)"
            sections.append(Section(f"How cost grows with the {name}{more}:", tuple(lines)))
    return sections


def _stops_section(found: Sequence[Stop]) -> Section:
    """A line for every row that stopped, and one for every model and mode of which all rows ran to their end."""
    lines = {}
    for stop in found:
        rows = [other for other in found if other.model == stop.model]
        if all(other.record is None for other in rows):
            lines[stop.model] = _stop_words(max(rows, key=lambda other: other.largest or 0))
        elif stop.record is not None:
            lines[stop.name] = _stop_words(stop)
    return Section("Where each mode stopped:", tuple(f"  {name}: {words}" for name, words in lines.items()))


def _stop_words(stop: Stop) -> str:
    unit = "agents" if stop.across == "agents" else "timesteps"
    if stop.record is None:
        return f"ran at every size, up to {stop.largest} {unit}"
    largest = "nothing ran" if stop.largest is None else f"the largest that ran: {stop.largest}"
    size = getattr(stop.record, stop.across)
    need, limit = need_of(stop.record), stop.record.memory_limit_bytes
    why = shown(stop.record.reason or stop.record.reason_code)
    if need is not None:
        why = f"needs {format_bytes(need)}" + ("" if limit is None else f" of {format_bytes(limit)}")
    return f"{stop.record.status} at {size} {unit} ({largest})" + ("" if why == UNKNOWN else f": {why}")


def _details(records: Sequence[Record], also: Sequence[str], columns: Sequence[str]) -> Section:
    """Every repeat, one row each."""
    several = any(record.repeat for record in records)
    naming = ("model", "mode", "agents", *(("repeat",) if several else ()))
    known = [name for name in DETAILS if any(getattr(record, name) not in (None, "") for record in records)]
    names = columns or [name for name in known if name != "repeat"]
    labels = [*also, *(name for name in naming if name not in names)]
    return Section(
        "Every repeat:",
        labels=tuple(label(axis_name(name), [getattr(record, name) for record in records]) for name in labels),
        columns=tuple(
            Column(
                axis_name(name),
                tuple(Cell(format_value(name, getattr(record, name))) for record in records),
                right=not all(isinstance(getattr(record, name), str) for record in records),
            )
            for name in names
        ),
    )


def format_value(name: str, value: int | float | str | None) -> str:
    """The value of one field of a record, with its unit where the field's name has one.

    Raises:
        KeyError: a record has no such field.
    """
    if name not in FIELD_NAMES:
        raise KeyError(name)
    if value is None or isinstance(value, str):
        return shown(value)
    if name.endswith(("_bytes", "_bytes_per_update")):
        return format_bytes(value)
    if name.endswith("_per_second"):
        return format_rate(value)
    if name.endswith("_seconds"):
        return format_seconds(value)
    return str(value) if isinstance(value, int) else format_number(value)
