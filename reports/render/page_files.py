"""The files of a point for the page: its updates, and its memory over time, as columns with formatted texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.records.columns import COLUMNS, format_value
from reports.records.record import Record
from reports.records.run import Run
from reports.text.ticks import linear_ticks, tick_label
from reports.text.units import format_bytes, format_number, format_seconds

TIMELINE_POINTS = 400
"""The largest number of memory readings that the page keeps of a point."""
_DIGITS = 6
_KINDS = {column.name: column.kind for column in COLUMNS.values()}


def point_files(run: Run, record: Record) -> dict[str, Any] | None:
    """Samples and timeline of `record`; None if neither is known."""
    found = {"samples": _samples(run.samples(record)), "timeline": _timeline(run.timeline(record))}
    known = {name: part for name, part in found.items() if part}
    return known or None


def short(values: Iterable[float | None]) -> list[float | None]:
    """Numbers with as many digits as a chart can show; None if not finite."""
    return [None if value is None or not math.isfinite(value) else _rounded(value) for value in values]


def _samples(rows: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Every update: `values` and `texts` by column, and the ticks of its time."""
    columns = _columns(rows)
    if not columns:
        return None
    texts = {
        name: list(values) if name == "phase" else [_text(name, value) for value in values]
        for name, values in columns.items()
    }
    return {"values": columns, "texts": texts, "ticks": _ticks(columns.get("update_seconds", []), "seconds")}


def _timeline(rows: Sequence[Mapping[str, str]]) -> dict[str, Any] | None:
    """Resident memory over time: `values` by column, `texts` of each reading, and the ticks of memory."""
    columns = _columns(_thinned(rows))
    if not {"seconds", "rss_bytes"} <= columns.keys():
        return None
    sizes, seconds = columns["rss_bytes"], columns["seconds"]
    texts = [
        f"{'' if time is None else format_seconds(time)}: {'' if size is None else format_bytes(size)}"
        for time, size in zip(seconds, sizes, strict=True)
    ]
    return {"values": columns, "texts": texts, "ticks": _ticks(sizes, "bytes")}


def _columns(rows: Sequence[Mapping[str, str]]) -> dict[str, list[Any]]:
    """A table by columns: text in `phase`, numbers elsewhere, None if a cell is not a finite number."""
    names = [name for name in rows[0] if name] if rows else []
    return {
        name: [row[name] or "" for row in rows] if name == "phase" else short([_number(row[name]) for row in rows])
        for name in names
    }


def _ticks(values: Sequence[float | None], unit: str) -> list[tuple[float, str]]:
    found = linear_ticks([value for value in values if value is not None], unit)
    return [(value, tick_label(value, unit)) for value in found]


def _text(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name in _KINDS:
        return format_value(name, _KINDS[name](value))
    return str(value) if isinstance(value, int) else format_number(value)


def _thinned(timeline: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """At most `TIMELINE_POINTS` rows: of each group of neighbours, the one with the most memory."""
    every = math.ceil(len(timeline) / TIMELINE_POINTS)
    kept: list[Mapping[str, str]] = []
    for start in range(0, len(timeline), max(every, 1)):
        group = timeline[start : start + every]
        kept.append(max(group, key=lambda row: _number(row.get("rss_bytes")) or 0.0))
    return kept


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rounded(value: float) -> float:
    return int(value) if value == int(value) else float(f"{value:.{_DIGITS}g}")
