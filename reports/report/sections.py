"""The sections of `scaleprof report`: memory and throughput in tables, growth in words, where each mode stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reports.arrange.pivot import (
    SIZE_NAMES,
    Pivot,
    Reading,
    Repeats,
    Row,
    _known,
    axis_name,
    make_pivot,
    memory_of,
    reader,
    row_name,
    same_work,
)
from reports.arrange.selection import reference_row, sort
from reports.growth.laws import fullest_laws, in_words, laws
from reports.records.columns import DETAILS, format_value
from reports.records.record import Record
from reports.report.summary import (
    counts_section,
    diverged_section,
    environment_share_section,
    failures_section,
    matches_section,
    memory_section,
    need_of,
    rate_section,
)
from reports.text.section import Cell, Section, TableColumn, label, shown
from reports.text.units import UNKNOWN, format_bytes, format_factor, format_rate


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options of a report."""

    reference: str = ""
    """Baseline for ratios, `model` or `model:mode`; empty: the first row."""
    full: bool = False
    """Show every fit instead of the longest curve of each mode, every failure, and a table of all repeats."""
    columns: tuple[str, ...] = ()
    """The columns of the table of repeats; if given, the table is shown."""
    sort: str = ""
    """The column to sort that table by, with a leading `-` to descend; if given, the table is shown."""


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a row got: its largest size that ran, and its smallest that did not."""

    model: str
    """Model and mode."""
    name: str
    """Model, mode, and the row's value on every axis that varies."""
    across: str
    largest: int | None
    """The largest size with a result; None if there is none."""
    record: Record | None
    """How the smallest size without a result ended; None if every size has one."""


def report_sections(records: Sequence[Record], also: Sequence[str], wanted: Wanted) -> list[Section]:
    """All sections of the report on `records` (from `joined`).

    Raises:
        ValueError: the reference was not measured, or a column does not exist.
    """
    measured = [record for record in records if record.status != "planned"]
    if not measured:
        return [Section(lines=("No points measured yet.",))]
    pivots = [make_pivot(measured, across=across, also=also) for across in SIZE_NAMES]
    pivots = [pivot for pivot in pivots if len(pivot.sizes) > 1] or pivots[:1]
    reference = reference_row(measured, wanted.reference)
    sections: list[Section | None] = [_memory_table(pivot, reference) for pivot in pivots]
    sections += [_rate_table(pivot, reference) for pivot in pivots]
    sections += _growth(measured, also, full=wanted.full)
    sections.append(_reaches_section(reaches(pivots[0])))
    failures = failures_section(pivots[0])
    if wanted.full:
        sections.append(failures)
    elif failures is not None and len(failures.lines) > sum(stop.record is not None for stop in reaches(pivots[0])):
        count = sum(bool(point.failed) for row in pivots[0].rows for point in row.points.values())
        points = "1 point" if count == 1 else f"{count} points"
        sections.append(Section(lines=(f"{points} failed in at least one repeat; --full lists the reasons.",)))
    sections += [matches_section(pivots[0], measured), environment_share_section(measured), diverged_section(measured)]
    if wanted.full or wanted.columns or wanted.sort:
        ordered = sort(measured, wanted.sort) if wanted.sort else measured
        sections.append(_details(ordered, also, wanted.columns))
    sections.append(counts_section(records, also))
    return [section for section in sections if section is not None]


def reaches(pivot: Pivot) -> list[Reach]:
    """How far every row of `pivot` got."""
    found = []
    for row in pivot.rows:
        ran = [size for size, point in row.points.items() if point.measured]
        failed = sorted(size for size, point in row.points.items() if point.failed and not point.measured)
        first = row.points[failed[0]].outcome if failed else None
        found.append(
            Reach(
                shown(f"{row.model} {row.mode}"),
                row_name(pivot, row),
                pivot.across,
                max(ran, default=None),
                first,
            )
        )
    return found


def _memory_table(pivot: Pivot, reference: tuple[str, str]) -> Section:
    details = _Details(pivot, reference, "memory_bytes", memory_of, format_bytes)
    return memory_section(pivot, more=details.explanation, details=details)


def _rate_table(pivot: Pivot, reference: tuple[str, str]) -> Section:
    field = "agent_steps_per_second"
    details = _Details(pivot, reference, field, reader(field), format_rate)
    return rate_section(pivot, more=details.explanation, details=details)


class _Details:
    """The lines below a figure: its ratio to the reference, and the range of its repeats."""

    def __init__(
        self,
        pivot: Pivot,
        reference: tuple[str, str],
        field: str,
        read: Callable[[Repeats], Reading | None],
        format_value: Callable[[float], str],
    ) -> None:
        self._pivot, self._reference = pivot, reference
        self._field, self._read, self._format = field, read, format_value
        self._work = same_work(pivot)
        cells = [(row, size, point) for row in pivot.rows for size, point in row.points.items() if read(point)]
        said = [line for cell in cells for line in self(*cell)]
        several = any(self._range(point) for _, _, point in cells)
        name = shown(" ".join(reference))
        self.explanation = f"; x = ratio to {name}" if any(line.endswith("x") for line in said) else ""
        self.explanation += "; median of repeats, with their range below" if several else ""

    def __call__(self, row: Row, size: int, point: Repeats) -> tuple[str, ...]:
        return tuple(line for line in (self._factor(row, size, point), self._range(point)) if line)

    def _factor(self, row: Row, size: int, point: Repeats) -> str:
        if (row.model, row.mode) == self._reference:
            return ""
        base = self._base(row)
        other = base.points.get(size) if base is not None else None
        mine, theirs = self._read(point), self._read(other) if other is not None else None
        if not mine or not theirs or not theirs.value or mine.source != theirs.source:
            return ""
        return format_factor(mine.value / theirs.value)

    def _base(self, row: Row) -> Row | None:
        """The reference's row with the same work; of several the most similar, or None if that is ambiguous."""

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

    def _range(self, point: Repeats) -> str:
        known = _known(point, self._field)
        low, high = (self._format(value) for value in (min(known), max(known)))
        if low == high:
            return ""
        # A shared unit is written once: 305-320 MiB.
        number, _, unit = low.partition(" ")
        return f"{number}-{high}" if unit and high.endswith(f" {unit}") else f"{low}-{high}"


def _growth(records: Sequence[Record], also: Sequence[str], *, full: bool) -> list[Section | None]:
    sections: list[Section | None] = []
    for along, name in SIZE_NAMES.items():
        found = laws(records, along, also=also)
        chosen = found if full else fullest_laws(found)
        lines = [f"{law.name}: {in_words(law)}" for law in chosen]
        if lines:
            more = (
                ""
                if len(chosen) == len(found)
                else f" ({len(chosen)} longest curves of {len(found)}; --full shows all)"
            )
            sections.append(Section(f"How cost grows with the {name}{more}:", tuple(lines)))
    return sections


def _reaches_section(found: Sequence[Reach]) -> Section:
    """One line per row that stopped early, and one per model and mode whose rows all ran at every size."""
    lines = {}
    for stop in found:
        rows = [other for other in found if other.model == stop.model]
        if all(other.record is None for other in rows):
            lines[stop.model] = _reach_words(max(rows, key=lambda other: other.largest or 0))
        elif stop.record is not None:
            lines[stop.name] = _reach_words(stop)
    return Section("Where each mode stopped:", tuple(f"{name}: {words}" for name, words in lines.items()))


def _reach_words(stop: Reach) -> str:
    unit = "agents" if stop.across == "agents" else "timesteps"
    if stop.record is None:
        return f"ran at every size, up to {stop.largest} {unit}"
    largest = "nothing ran" if stop.largest is None else f"largest that ran: {stop.largest}"
    size = getattr(stop.record, stop.across)
    need, limit = need_of(stop.record), stop.record.memory_limit_bytes
    why = shown(stop.record.reason or stop.record.reason_code)
    if need is not None:
        why = f"needs {format_bytes(need)}" + ("" if limit is None else f", limit {format_bytes(limit)}")
    return f"{stop.record.status} at {size} {unit} ({largest})" + ("" if why == UNKNOWN else f": {why}")


def _details(records: Sequence[Record], also: Sequence[str], columns: Sequence[str]) -> Section:
    """One row per repeat."""
    several = any(record.repeat for record in records)
    naming = ("model", "mode", "agents", *(("repeat",) if several else ()))
    known = [name for name in DETAILS if any(getattr(record, name) not in (None, "") for record in records)]
    names = columns or [name for name in known if name != "repeat"]
    labels = [*also, *(name for name in naming if name not in names)]
    return Section(
        "All repeats:",
        labels=tuple(label(axis_name(name), [getattr(record, name) for record in records]) for name in labels),
        columns=tuple(
            TableColumn(
                axis_name(name),
                tuple(Cell(format_value(name, getattr(record, name))) for record in records),
                right=not all(isinstance(getattr(record, name), str) for record in records),
            )
            for name in names
        ),
    )
