"""The data of the page's scripts: records, curves and ticks, each number beside the text that is shown for it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from reports.arrange.curves import AXIS_TITLES, Curve, Slice, fullest_slice, known_measures, memory_limits, slices
from reports.arrange.pivot import varying_axes
from reports.arrange.selection import run_names
from reports.growth.trends import trend_of
from reports.records.columns import COLUMNS, MEMORY, SPEED, Column, Value, format_value, shown_in
from reports.records.mapping import record_to_mapping
from reports.records.record import POINT_FIELDS, Record
from reports.records.run import Run
from reports.render.page_files import point_files, short
from reports.text.style import COLOURS, DASHES, FAILURES, MARKERS, ON_DARK
from reports.text.ticks import FEWEST, MOST, tick_label, tick_levels
from reports.text.units import format_bytes, format_rate, format_seconds

_SHOW = {"bytes": format_bytes, "rate": format_rate, "seconds": format_seconds}
_UNITS = {"agents": "agents", "seq_len": "timesteps"}
_AROUND = 256.0
"""How far ticks reach beyond the values, as a factor: a chart can be zoomed out."""


def page_data(runs: Sequence[Run]) -> dict[str, Any]:
    """Everything that the scripts show, except for the results file."""
    owned = [(name, run, record) for name, run in zip(run_names(runs), runs, strict=True) for record in run.records]
    records = [record for _, _, record in owned]
    rows = [record_to_mapping(record) for record in records]
    known = [name for name in COLUMNS if any(row[name] not in (None, "") for row in rows)]
    run = ["run"] if len(runs) > 1 else []
    columns = [*run, *dict.fromkeys((*POINT_FIELDS, "repeat", "status", "reason", *known))]
    listed = {*shown_in("page"), *varying_axes(records)}
    shown = [
        "run",
        *(name for name in COLUMNS if name in listed and name != "reason"),
        "reason",
    ]  # long text comes last
    places = {id(record): place for place, record in enumerate(records)}
    memory, speed = known_measures(records, MEMORY), known_measures(records, SPEED)
    found = [one for axis in AXIS_TITLES for one in slices(runs, axis)]
    return {
        "columns": columns,
        "shown": [name for name in shown if name in columns and name in (*run, *known)],
        "numeric": [column.name for column in COLUMNS.values() if not column.is_text],
        "identity": [*run, *POINT_FIELDS],
        "records": [
            [owner if name == "run" else _plain(row[name]) for name in columns]
            for (owner, _, _), row in zip(owned, rows, strict=True)
        ],
        "texts": [[0 if name == "run" else _text(name, row[name]) for name in columns] for row in rows],
        "files": [point_files(run, record) for _, run, record in owned],
        "axes": AXIS_TITLES,
        "slices": _slices(runs, places, (*memory, *speed)),
        "memory": [_measure(measure) for measure in memory],
        "speed": [_measure(measure) for measure in speed],
        "limits": {measure.name: _limits(records, measure) for measure in memory},
        "ticks": {"fewest": FEWEST, "most": MOST, "levels": _levels(records, found, (*memory, *speed))},
        "look": {
            "colours": COLOURS,
            "dark": ON_DARK,
            "markers": [name for _, name, _ in MARKERS],
            "swatches": [path for _, _, path in MARKERS],
            "dashes": [",".join(f"{length}px" for length in dashes) or "solid" for dashes in DASHES],
            "failures": {status: name for status, (_, name, _) in FAILURES.items()},
        },
    }


def _measure(column: Column) -> dict[str, str]:
    return {"field": column.name, "title": column.title, "unit": column.unit}


def _plain(value: Value) -> Value:
    """A value of a record as JSON has it: a number that is not finite becomes text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _text(name: str, value: Value) -> str | int:
    """A finite number as it is shown; 0 for anything else, which is shown as it is."""
    number = isinstance(value, int | float) and math.isfinite(value)
    return format_value(name, value) if number else 0


def _limits(records: Sequence[Record], measure: Column) -> list[tuple[float, str]]:
    """The place of each memory limit on the axis of `measure`, and its label."""
    return [
        (line, f"limit {tick_label(limit, 'bytes')}{'' if line == limit else ', minus what the idle process holds'}")
        for limit, line in memory_limits(records, measure)
    ]


def _levels(records: Sequence[Record], found: Sequence[Slice], measures: Sequence[Column]) -> dict[str, Any]:
    """All candidates for ticks with their labels, by unit, from coarse to fine."""
    values: dict[str, list[float]] = {"count": [float(size) for one in found for size in one.sizes]}
    for measure in measures:
        of_unit = values.setdefault(measure.unit, [])
        of_unit += [
            value for one in found for curve in one.curves for v in curve.values(measure).values() for value in v
        ]
        of_unit += [line for _, line in memory_limits(records, measure)] if measure in MEMORY else []
    levels = {}
    for unit, known in values.items():
        low, high = min(known, default=1.0), max(known, default=1.0)
        *coarse, _ = tick_levels(low / _AROUND, high * _AROUND, unit)
        fine = tick_levels(low / 2, high * 2, unit)[-1]
        levels[unit] = [
            {"values": level, "labels": [tick_label(value, unit) for value in level]} for level in (*coarse, fine)
        ]
    return levels


def _slices(runs: Sequence[Run], places: Mapping[int, int], measures: Sequence[Column]) -> list[dict[str, Any]]:
    made = []
    for axis in AXIS_TITLES:
        found = slices(runs, axis)
        for one in found:
            curves = [_curve(curve, one, places, measures) for curve in one.curves]
            chosen = one is fullest_slice(found)
            sizes = [(size, tick_label(size, "count")) for size in one.sizes]
            made.append({"axis": axis, "title": one.title, "chosen": chosen, "sizes": sizes, "curves": curves})
    return made


def _curve(curve: Curve, one: Slice, places: Mapping[int, int], measures: Sequence[Column]) -> dict[str, Any]:
    """A curve: by measure its trend and, for each size, the median and the records that it is of; and its failures."""
    trends = {}
    for measure in measures:
        trend = trend_of(curve, measure, one.axis, one.sizes[-1])
        if trend is not None:
            trends[measure.name] = {
                "sizes": short(trend.sizes),
                "values": short(trend.values),
                "low": short(trend.low),
                "high": short(trend.high),
                "words": trend.words,
            }
    failures = [
        {"size": size, "at": f"{size} {_UNITS[one.axis]}", "place": places[id(failed[0])]}
        for size, failed in curve.failures().items()
    ]
    return {
        "label": curve.label,
        "style": curve.style,
        "measured": {measure.name: _measured(curve, one, places, measure) for measure in measures},
        "failures": failures,
        "trends": trends,
    }


def _measured(curve: Curve, one: Slice, places: Mapping[int, int], measure: Column) -> list[dict[str, Any]]:
    values = curve.values(measure)
    made = []
    for size, known in values.items():
        middle = statistics.median(known)
        kept = [record for record in curve.points[size].measured if getattr(record, measure.name) in known]
        made.append(
            {
                "size": size,
                "at": f"{size} {_UNITS[one.axis]}",
                "value": middle,
                "text": _SHOW[measure.unit](middle) + (f", median of {len(known)}" if len(known) > 1 else ""),
                "places": [places[id(record)] for record in kept],
            }
        )
    return made
