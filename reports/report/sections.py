"""The sections of `scaleprof report`: the answer, growth in words, memory and throughput in tables, what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reports.arrange.pivot import (
    SIZE_NAMES,
    Pivot,
    Reading,
    Repeats,
    Row,
    axis_name,
    known_values,
    make_pivot,
    memory_of,
    reader,
    same_work,
    shared_pivots,
    varying_axes,
)
from reports.arrange.selection import reference_row, sort
from reports.records.columns import format_value, shown_in
from reports.records.record import Record, was_run
from reports.report.answer import answer_section, growth_sections
from reports.report.missing import NOTHING_MISSING, Missing
from reports.report.planned import estimate_section, is_plan, limit_words, parts_section, share_details
from reports.report.reach import reaches, reaches_section
from reports.report.summary import (
    counts_section,
    diverged_section,
    environment_share_section,
    failures_section,
    matches_section,
    memory_section,
    rate_section,
)
from reports.text.section import Cell, Section, TableColumn, label, shown
from reports.text.units import counted, format_bytes, format_factor, format_rate

MOST_ROWS = 200
"""Rows of a table unless everything is asked for: nobody reads more, and drawing them takes most of a report's time."""


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
    missing: Missing = NOTHING_MISSING
    """What the runs were to measure and do not hold."""


@shared_pivots()
def report_sections(records: Sequence[Record], also: Sequence[str], wanted: Wanted) -> list[Section]:
    """All sections of the report on `records` (from `joined`).

    Raises:
        ValueError: the reference was not measured, or a column does not exist.
    """
    measured = [record for record in records if was_run(record)]
    missing = wanted.missing
    if not measured:
        return [Section(lines=("No points measured yet.", *missing.lines))]
    pivots = [make_pivot(measured, across=across, also=also, sizes=missing.at(across)) for across in SIZE_NAMES]
    pivots = [pivot for pivot in pivots if len(pivot.sizes) > 1] or pivots[:1]
    reference = reference_row(measured, wanted.reference)
    sections: list[Section | None] = [
        missing.section(),
        answer_section(records, memory_of, also),
        *growth_sections(records, also, full=wanted.full),
    ]
    sections += [_memory_table(pivot, reference) for pivot in pivots]
    if is_plan(measured):
        sections += [parts_section(pivots[0]), estimate_section(measured)]
    else:
        sections += [_rate_table(pivot, reference) for pivot in pivots]
        found = reaches(pivots[0], missing.at(pivots[0].across))
        sections.append(reaches_section(found, missing.modes, whole=not missing.lines))
    failures = failures_section(pivots[0])
    if wanted.full:
        sections.append(failures)
    elif failures is not None:
        ways = [
            {(r.status, r.reason or r.reason_code) for r in p.failed}
            for row in pivots[0].rows
            for p in row.points.values()
        ]
        count = sum(map(bool, ways))
        if sum(map(len, ways)) > sum(stop.record is not None for stop in reaches(pivots[0])):
            said = f"{counted(count, 'point')} failed in at least one repeat; --full lists the reasons."
            sections.append(Section(lines=(said,)))
    sections += [matches_section(pivots[0], measured), environment_share_section(measured), diverged_section(measured)]
    if wanted.full or wanted.columns or wanted.sort:
        ordered = sort(measured, wanted.sort) if wanted.sort else measured
        sections.append(_details(ordered, also, wanted.columns))
    sections.append(counts_section(records, also, missing))
    return [section if wanted.full else shortened(section) for section in sections if section is not None]


def shortened(section: Section) -> Section:
    """The section with at most `MOST_ROWS` rows, and a word on those left out."""
    columns = (*section.labels, *section.columns)
    rows = max((len(column.cells) for column in columns), default=0)
    if rows <= MOST_ROWS:
        return section

    def first(some: tuple[TableColumn, ...]) -> tuple[TableColumn, ...]:
        return tuple(replace(column, cells=column.cells[:MOST_ROWS]) for column in some)

    left_out = f"the first {MOST_ROWS} of {rows} rows (--full shows all)"
    caption = f"{section.caption}; {left_out}" if section.caption else left_out
    return replace(section, labels=first(section.labels), columns=first(section.columns), caption=caption)


def _memory_table(pivot: Pivot, reference: tuple[str, str]) -> Section:
    details = _Details(pivot, reference, "memory_bytes", memory_of, format_bytes)
    records = [record for row in pivot.rows for point in row.points.values() for record in point.records]
    if not is_plan(records):
        return memory_section(pivot, more=details.explanation, details=details)

    def both(row: Row, size: int, point: Repeats) -> tuple[str, ...]:
        return *details(row, size, point), *share_details(row, size, point)

    return memory_section(pivot, more=details.explanation + limit_words(records), details=both)


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
        self._references = {row.values: row for row in pivot.rows if (row.model, row.mode) == reference}
        cells = [(row, size, point) for row in pivot.rows for size, point in row.points.items() if read(point)]
        self._lines = {id(point): self._lines_of(row, size, point) for row, size, point in cells}
        said = [line for lines in self._lines.values() for line in lines]
        several = any(self._range(point) for _, _, point in cells)
        name = shown(" ".join(reference))
        self.explanation = f"; x = ratio to {name}" if any(line.endswith("x") for line in said) else ""
        self.explanation += "; median of repeats, with their range below" if several else ""

    def __call__(self, row: Row, size: int, point: Repeats) -> tuple[str, ...]:
        return self._lines[id(point)]

    def _lines_of(self, row: Row, size: int, point: Repeats) -> tuple[str, ...]:
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

        if row.values in self._references:
            return self._references[row.values]
        axes = self._pivot.axes
        found = [
            other
            for other in self._references.values()
            if all(
                mine == its
                for axis, mine, its in zip(axes, row.values, other.values, strict=True)
                if axis in self._work
            )
        ]
        most = max(map(alike, found), default=0)
        best = [other for other in found if alike(other) == most]
        return best[0] if len(best) == 1 else None

    def _range(self, point: Repeats) -> str:
        known = known_values(point, self._field)
        low, high = (self._format(value) for value in (min(known), max(known)))
        if low == high:
            return ""
        # A shared unit is written once: 305-320 MiB.
        number, _, unit = low.partition(" ")
        return f"{number}-{high}" if unit and high.endswith(f" {unit}") else f"{low}-{high}"


def _details(records: Sequence[Record], also: Sequence[str], columns: Sequence[str]) -> Section:
    """One row per repeat, named by its model, mode, agents, every setting that varies, and its number."""
    several = any(record.repeat for record in records)
    varying = [name for name in varying_axes(records, also=also) if name not in also]
    naming = ("model", "mode", "agents", *varying, *(("repeat",) if several else ()))
    known = [name for name in shown_in("repeats") if any(getattr(record, name) not in (None, "") for record in records)]
    names = columns or [name for name in known if name not in (*naming, "repeat")]
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
