"""How far every mode got: its largest size that ran, and how its smallest size without a result ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.arrange.pivot import Pivot, row_name
from reports.records.record import Record
from reports.text.section import Section, shown
from reports.text.units import UNKNOWN, format_bytes


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

    @property
    def need(self) -> int | None:
        """The bytes that the record needs, if it was predicted not to fit."""
        return None if self.record is None else need_of(self.record)


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


def reaches_section(found: Sequence[Reach]) -> Section:
    """One line per row that stopped early, and one per model and mode whose rows all ran at every size."""
    lines = {}
    rows: dict[str, list[Reach]] = {}
    for stop in found:
        rows.setdefault(stop.model, []).append(stop)
    whole = {model for model, some in rows.items() if all(stop.record is None for stop in some)}
    for stop in found:
        if stop.model in whole:
            if stop.model not in lines:
                lines[stop.model] = _reach_words(max(rows[stop.model], key=lambda other: other.largest or 0))
        elif stop.record is not None:
            lines[stop.name] = _reach_words(stop)
    return Section("Where each mode stopped:", tuple(f"{name}: {words}" for name, words in lines.items()))


def _reach_words(stop: Reach) -> str:
    unit = "agents" if stop.across == "agents" else "timesteps"
    if stop.record is None:
        return f"ran at every size, up to {stop.largest} {unit}"
    largest = "nothing ran" if stop.largest is None else f"largest that ran: {stop.largest}"
    size = getattr(stop.record, stop.across)
    need, limit = stop.need, stop.record.memory_limit_bytes
    why = shown(stop.record.reason or stop.record.reason_code)
    if need is not None:
        why = f"needs {format_bytes(need)}" + ("" if limit is None else f", limit {format_bytes(limit)}")
    return f"{stop.record.status} at {size} {unit} ({largest})" + ("" if why == UNKNOWN else f": {why}")


def need_of(record: Record) -> int | None:
    """The bytes that a point needs, if it was predicted not to fit."""
    return record.xla_peak_bytes if (record.status, record.reason_code) == ("oom", "predicted") else None
