"""How far every mode got: its largest size that ran, and how its smallest size without a result ended."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
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
    """How the smallest size without a result ended; None if every size that was tried has one."""
    missing: tuple[int, ...] = ()
    """The sizes that were not tried."""

    @property
    def need(self) -> int | None:
        """The bytes that the record needs, if it was predicted not to fit."""
        return None if self.record is None else need_of(self.record)


def reaches(pivot: Pivot, asked: Collection[int] = ()) -> list[Reach]:
    """How far every row of `pivot` got, of the sizes that were `asked` for."""
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
                tuple(size for size in sorted(asked) if size not in row.points),
            )
        )
    return found


def reaches_section(found: Sequence[Reach], modes: Iterable[tuple[str, str]] = (), *, whole: bool = True) -> Section:
    """One line per row that stopped early, and one per model and mode whose rows all ran at every size.

    `modes` were to be measured, whether they were or not. Unless the runs are `whole`, there may be sizes that nothing
    tells of.
    """
    lines = {}
    rows: dict[str, list[Reach]] = {}
    for stop in found:
        rows.setdefault(stop.model, []).append(stop)
    done = {model for model, some in rows.items() if all(stop.record is None and not stop.missing for stop in some)}
    for stop in found:
        if stop.model in done:
            if stop.model not in lines:
                lines[stop.model] = _reach_words(max(rows[stop.model], key=lambda one: one.largest or 0), whole=whole)
        elif stop.record is not None or stop.missing:
            lines[stop.name] = _reach_words(stop, whole=whole)
    asked = (shown(f"{model} {mode}") for model, mode in modes)
    lines |= {name: "not measured yet" for name in asked if name not in rows}
    return Section("Where each mode stopped:", tuple(f"{name}: {words}" for name, words in lines.items()))


def _reach_words(stop: Reach, *, whole: bool) -> str:
    unit = "agents" if stop.across == "agents" else "timesteps"
    missing = f"not measured yet at {', '.join(map(str, stop.missing))} {unit}" if stop.missing else ""
    if stop.record is None and missing:
        return f"{missing}; ran up to {stop.largest}"
    if stop.record is None:
        return f"ran at every size{'' if whole else ' tried'}, up to {stop.largest} {unit}"
    largest = "nothing ran" if stop.largest is None else f"largest that ran: {stop.largest}"
    size = getattr(stop.record, stop.across)
    need, limit = stop.need, stop.record.memory_limit_bytes
    why = shown(stop.record.reason or stop.record.reason_code)
    if need is not None:
        why = f"needs {format_bytes(need)}" + ("" if limit is None else f", limit {format_bytes(limit)}")
    words = f"{stop.record.status} at {size} {unit} ({largest})" + ("" if why == UNKNOWN else f": {why}")
    return f"{words}; {missing}" if missing else words


def need_of(record: Record) -> int | None:
    """The bytes that a point needs, if it was predicted not to fit."""
    return record.xla_peak_bytes if (record.status, record.reason_code) == ("oom", "predicted") else None
