"""The summary of a sweep: peak memory, agent-steps per second, matched widths, failures and counts; and its grid."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Sequence

from reports.arrange.pivot import (
    SIZE_NAMES,
    Pivot,
    Reading,
    Repeats,
    Row,
    among,
    axis_name,
    best_cells,
    make_pivot,
    memory_of,
    rate_of,
    row_labels,
    shared_pivots,
)
from reports.records.columns import shown_in
from reports.records.record import (
    MEMORY_SOURCES,
    POINT_FIELDS,
    STATUSES,
    Record,
    diverged,
    is_between,
    point_key,
    was_run,
)
from reports.report.answer import answer_section, growth_sections
from reports.report.missing import NOTHING_MISSING, Missing
from reports.report.planned import estimate_section, is_plan, limit_words, parts_section, share_details
from reports.report.reach import need_of
from reports.text.section import Cell, Document, Section, TableColumn, label, shown
from reports.text.units import UNKNOWN, counted, format_bytes, format_rate

ENVIRONMENT_SHARE = 0.3
"""From this share of an update on, a point measures the environment more than the model."""

CONTENDED = "!"
"""Stands before a speed that was measured while other processes used the CPU."""
FEW_UPDATES = "few_updates"
"""The reason code of a point that was measured, but with fewer updates than asked for."""
_NOT_KNOWN = "n/a"

Details = Callable[[Row, int, Repeats], tuple[str, ...]]
"""Further lines in the cell of a point, given its row, its size and its repeats."""


@shared_pivots()
def summary_document(records: Sequence[Record], title: str, missing: Missing = NOTHING_MISSING) -> Document:
    """The answer in a few sentences, growth, peak memory and agent-steps per second, then what else matters.

    Repeats of a point are shown as the median of those that succeeded. Rows also show every other axis with more than
    one value in `records`.
    """
    if not records:
        return Document(title, ("No records.",))
    everything, records = records, [record for record in records if was_run(record)]
    if not records:
        return Document(title, sections=(counts_section(everything, missing=missing),))
    pivot = make_pivot(records, sizes=missing.at("agents"))
    sections = [
        missing.section(),
        answer_section(everything, memory_of),
        *growth_sections(everything),
        *(plan_sections(pivot, records) if is_plan(records) else (memory_section(pivot), rate_section(pivot))),
        matches_section(pivot, records),
        failures_section(pivot),
        environment_share_section(records),
        diverged_section(records),
        counts_section(everything, missing=missing),
    ]
    return Document(title, sections=tuple(section for section in sections if section is not None))


def plan_sections(pivot: Pivot, records: Sequence[Record]) -> tuple[Section | None, ...]:
    """Planned memory with its share of the limit, its parts, and what kind of figure that is."""
    memory = memory_section(pivot, more=limit_words(records), details=share_details)
    return memory, parts_section(pivot), estimate_section(records)


def grid_document(records: Sequence[Record]) -> Document:
    """The points with status `pending`, one row each, with the fields in which they differ as columns.

    What is the same for all of them stands in one paragraph above the table. Memory is shown where it is planned.
    """
    pending = [record for record in records if record.status == "pending" and not is_between(record)]
    to_plan = [record for record in records if record.status == "pending" and is_between(record)]
    if not pending and not to_plan:
        return Document(lines=("No points.",))
    plan = _to_plan(to_plan) if to_plan else ""
    if not pending:
        return Document(lines=(plan,))
    repeats = Counter(point_key(record) for record in pending)
    first: dict[tuple[object, ...], Record] = {}
    for record in pending:
        first.setdefault(point_key(record), record)
    points = list(first.values())
    differing = [name for name in POINT_FIELDS if len({getattr(point, name) for point in points}) > 1]
    columns = ["model", "mode", "agents", *(name for name in differing if name not in ("model", "mode", "agents"))]
    same = [name for name in POINT_FIELDS if name not in columns and getattr(points[0], name) not in (None, "")]
    common = "All points: " + ", ".join(f"{name}={shown(getattr(points[0], name))}" for name in same)
    labels = [label("#", range(1, len(points) + 1))]
    labels += [label(name, [getattr(point, name) for point in points]) for name in columns]
    if len(set(repeats.values())) > 1:
        labels.append(label("repeats", [repeats[point_key(point)] for point in points]))
    sizes = [format_bytes(point.xla_peak_bytes) for point in points]
    plans = (TableColumn("XLA's plan", tuple(map(Cell, sizes))),) if {*sizes} != {UNKNOWN} else ()
    count = point_count(len(points), len(pending))
    counts = tuple(filter(None, (count, plan)))
    return Document(
        lines=(common,) if same else (), sections=(Section(labels=tuple(labels), columns=plans), Section(lines=counts))
    )


def _to_plan(records: Sequence[Record]) -> str:
    """`Also planned, by compiling alone: 24 points, at 32, 64, 256, 512 agents.`"""
    parts = []
    for field, unit in (("agents", "agents"), ("seq_len", "timesteps")):
        sizes = sorted({getattr(record, field) for record in records})
        if len(sizes) > 1 or field == "agents":
            parts.append(f"{', '.join(map(str, sizes))} {unit}")
    return f"Also planned, by compiling alone: {counted(len(records), 'point')}, at {' and '.join(parts)}."


def memory_section(pivot: Pivot, *, more: str = "", details: Details | None = None) -> Section:
    """Peak memory: what a point needs beyond the compiled, idle process.

    Cells from another source than the first are marked with its initial; `details` is explained by `more`.
    """
    found = {reading.source for row in pivot.rows for point in row.points.values() if (reading := memory_of(point))}
    first, *others = [source for source in MEMORY_SOURCES if source in found] or [""]
    named = [first, *(f"{source[0]} = {source}" for source in others)]
    best = "lowest per source" if others else "lowest"

    def show(reading: Reading) -> str:
        return f"{f'{reading.source[0]} ' if reading.source in others else ''}{format_bytes(reading.value)}"

    return measure_section(
        pivot,
        f"Peak memory by {SIZE_NAMES[pivot.across]}",
        _caption(*named, _best_mark(pivot, memory_of, best, lower_is_better=True), more),
        memory_of,
        show,
        lower_is_better=True,
        say_need=True,
        details=details,
    )


def rate_section(pivot: Pivot, *, more: str = "", details: Details | None = None) -> Section:
    """Agent-steps per second, contended points marked; `more` explains `details` in the caption."""
    contended = any(point.contended and rate_of(point) for row in pivot.rows for point in row.points.values())
    marked = f"; {CONTENDED} = contended: other processes competed for the CPU" if contended else ""
    return measure_section(
        pivot,
        f"Agent-steps per second by {SIZE_NAMES[pivot.across]}",
        _caption(_best_mark(pivot, rate_of, "highest", lower_is_better=False), more, marked),
        rate_of,
        lambda reading: format_rate(reading.value),
        lower_is_better=False,
        details=details,
        mark=lambda point: CONTENDED if point.contended else "",
    )


def _best_mark(pivot: Pivot, read: Callable[[Repeats], Reading | None], best: str, *, lower_is_better: bool) -> str:
    """What `*` means, if any cell has it."""
    has_best = best_cells(pivot, read, lower_is_better=lower_is_better)
    return f"* = {best}{among(pivot)}" if has_best else ""


def _caption(*parts: str) -> str:
    return "; ".join(part.removeprefix("; ") for part in parts if part)


def measure_section(
    pivot: Pivot,
    heading: str,
    caption: str,
    read: Callable[[Repeats], Reading | None],
    show: Callable[[Reading], str],
    *,
    lower_is_better: bool,
    say_need: bool = False,
    details: Details | None = None,
    mark: Callable[[Repeats], str] = lambda _: "",
) -> Section:
    """A table of one measure: rows of the pivot down, sizes across, the best of each column marked.

    `mark` gives what stands before the figure of a point.

    With `say_need`, the cell of a point that was predicted not to fit says how much memory it needs.
    """
    best = best_cells(pivot, read, lower_is_better=lower_is_better)
    columns = []
    for size in pivot.sizes:
        cells = []
        for index, row in enumerate(pivot.rows):
            point = row.points.get(size)
            reading = None if point is None else read(point)
            if point is None:
                cells.append(Cell(UNKNOWN))
            elif reading is None:
                cells.append(Cell(_without_reading(point, say_need=say_need)))
            else:
                more = () if details is None else details(row, size, point)
                if not say_need and any(record.reason_code == FEW_UPDATES for record in point.measured):
                    more = (*more, "few updates")
                cells.append(Cell(f"{mark(point)}{show(reading)}", (index, size) in best, more))
        columns.append(TableColumn(str(size), tuple(cells)))
    return Section(heading, labels=row_labels(pivot), columns=tuple(columns), caption=caption)


def _without_reading(point: Repeats, *, say_need: bool) -> str:
    """The cell of a point without a figure: its status, and the memory that a predicted oom or a timeout needs."""
    outcome = point.outcome
    if outcome.status == "ok":
        return _NOT_KNOWN
    need = need_of(outcome) if outcome.status == "oom" else outcome.memory_bytes
    if need is None or not say_need or outcome.status not in ("oom", "timeout"):
        return outcome.status
    return f"{outcome.status}: needs {format_bytes(need)}"


def matches_section(pivot: Pivot, records: Sequence[Record]) -> Section | None:
    """One line per width that was chosen to match Sable's number of parameters."""
    axes = [axis for axis in pivot.axes if axis in shown_in("width")]
    lines = [
        f"{shown(record.model)}{''.join(f', {axis}={shown(getattr(record, axis))}' for axis in axes)}: "
        f"embed_dim {record.matched_embed_dim} ({_count(record.parameters)} parameters, "
        f"sable has {_count(record.reference_parameters)})"
        for record in records
        if record.matched_embed_dim is not None
    ]
    return Section("Widths matched to Sable's parameter count:", tuple(dict.fromkeys(lines))) if lines else None


def failures_section(pivot: Pivot) -> Section | None:
    """One line per curve and way of failing: its sizes, and the number of repeats concerned if not all."""
    sizes: dict[tuple[str, str, str], list[int]] = {}
    for row in pivot.rows:
        axes = [f", {axis_name(axis)}={shown(value)}" for axis, value in zip(pivot.axes, row.values, strict=True)]
        for size, point in sorted(row.points.items()):
            reasons = Counter((record.status, record.reason or record.reason_code) for record in point.failed)
            for (status, reason), count in reasons.items():
                total = len(point.records)
                share = "" if count == total else f" ({count} of {total} repeats)"
                how = f"{status}{share}" + (f": {shown(reason)}" if reason else "")
                sizes.setdefault((shown(f"{row.model} {row.mode}"), "".join(axes), how), []).append(size)
    lines = [
        f"{name}, {pivot.across}={','.join(map(str, several))}{axes}: {how}"
        for (name, axes, how), several in sizes.items()
    ]
    return Section("Not measured:", tuple(lines)) if lines else None


def environment_share_section(records: Sequence[Record]) -> Section | None:
    """Points whose updates are dominated by the environment rather than the model."""
    lines = []
    for model, mode in dict.fromkeys((record.model, record.mode) for record in records):
        shares = {
            record.agents: record.env_seconds / record.update_seconds
            for record in records
            if (record.model, record.mode) == (model, mode) and record.env_seconds and record.update_seconds
        }
        large = [f"{share:.0%} at {agents}" for agents, share in sorted(shares.items()) if share > ENVIRONMENT_SHARE]
        if large:
            lines.append(f"{shown(f'{model} {mode}')}: {', '.join(large)} agents")
    heading = f"Dominated by the environment (over {ENVIRONMENT_SHARE:.0%} of the update time):"
    return Section(heading, tuple(lines)) if lines else None


def diverged_section(records: Sequence[Record]) -> Section | None:
    """Points with a non-finite loss: their costs are valid, but training diverged."""
    lines = []
    for model, mode in dict.fromkeys((record.model, record.mode) for record in records):
        sizes = {
            record.agents for record in records if (record.model, record.mode) == (model, mode) and diverged(record)
        }
        if sizes:
            lines.append(f"{shown(f'{model} {mode}')}: at {', '.join(map(str, sorted(sizes)))} agents")
    return Section("Non-finite losses (training diverged):", tuple(lines)) if lines else None


def counts_section(records: Sequence[Record], also: Sequence[str] = (), missing: Missing = NOTHING_MISSING) -> Section:
    """Scenario, device, and the number of points and repeats by status.

    Args:
        records: all records, pending ones included.
        also: fields that tell points apart besides their own and the device.
        missing: what is not among the records.
    """
    scenarios = dict.fromkeys(shown(record.scenario) for record in records if record.scenario)
    devices = dict.fromkeys(shown(record.device) for record in records if record.device)
    statuses = Counter(record.status for record in records if not is_between(record))
    plans = Counter(record.status for record in records if is_between(record))
    results = f"{statuses['ok']} ok" if statuses["ok"] or not statuses["planned"] else ""
    if statuses["planned"]:
        results += f"{', ' if results else ''}{statuses['planned']} planned"
    failed = {name: statuses[name] for name in STATUSES if statuses[name] and name not in ("ok", "planned", "pending")}
    counts = f"{results}, {sum(failed.values())} failed"
    if failed:
        counts += f" ({', '.join(f'{count} {name}' for name, count in failed.items())})"
    if plans:
        wrong = plans.total() - plans["planned"]
        counts += f", {plans.total()} planned by compiling alone" + (f" ({wrong} failed)" if wrong else "")
    if statuses["pending"]:
        counts += f", {statuses['pending']} pending"
    points = sum(len(row.points) for row in make_pivot(records, also=also).rows)
    total = point_count(points, len(records))
    scenario, device = (", ".join(names) or UNKNOWN for names in (scenarios, devices))
    lacking = "; more are missing" if missing.lines else ""
    lines = [f"Scenario: {scenario} | Device: {device} | {total}: {counts}{lacking}"]
    idle = [record.host_base_bytes for record in records if record.host_base_bytes is not None]
    if idle:
        held = format_bytes(statistics.median(idle))
        lines.append(f"Peak memory leaves out what the compiled, idle process holds: {held} (median).")
    return Section(lines=tuple(lines))


def point_count(points: int, repeats: int) -> str:
    """The number of points, and of all their repeats if larger: `3 points, 12 repeats in all`."""
    text = counted(points, "point")
    return text if points == repeats else f"{text}, {repeats} repeats in all"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"
